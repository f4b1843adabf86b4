#!/bin/sh
# Sees to it that there is a C compiler and the Rust that rust-toolchain.toml names. Changes nothing
# where both are there. The Makefile looks for cargo in ~/.cargo/bin too, where rustup puts it.
set -eu
cd "$(dirname "$0")/.."

command -v cc >/dev/null 2>&1 || packaging/debian.sh gcc libc6-dev
! command -v cargo >/dev/null 2>&1 || exit 0

# Debian 13 has a package of rustup, Debian 12 has none.
if apt-cache policy rustup 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    packaging/debian.sh rustup
    exit 0
fi
if [ "$(uname -m)" != x86_64 ]; then
    cat >&2 <<'TEXT'
error: cargo is not installed
cause: this machine is no amd64, for which the version of rustup is known here
hint:  https://rustup.rs tells how to get it
TEXT
    exit 1
fi
command -v curl >/dev/null 2>&1 || packaging/debian.sh curl ca-certificates

version=1.28.2
sum=20a06e644b0d9bd2fbdbfd52d42540bdde820ea7df86e92e533c073da0cdd43c
from=https://static.rust-lang.org/rustup/archive/$version/x86_64-unknown-linux-gnu/rustup-init
echo "installing rustup $version and the Rust of rust-toolchain.toml for $(id -un)"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
curl --proto '=https' --tlsv1.2 -sSf --retry 3 -o "$folder/rustup-init" "$from"
echo "$sum  $folder/rustup-init" | sha256sum --check --quiet
chmod +x "$folder/rustup-init"
"$folder/rustup-init" -q -y --no-modify-path --profile minimal --default-toolchain none >/dev/null
PATH=$PATH:$HOME/.cargo/bin rustup toolchain install
