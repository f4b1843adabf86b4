#!/bin/sh
# Sees to it that there is a C compiler and cargo. Changes nothing where both are there. Rust itself
# comes by rustup in the version that rust-toolchain.toml names.
set -eu

command -v cc >/dev/null 2>&1 || "$(dirname "$0")/debian.sh" gcc libc6-dev

command -v cargo >/dev/null 2>&1 && exit 0
# Debian 13 has a package of rustup, Debian 12 has none.
if apt-cache policy rustup 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    "$(dirname "$0")/debian.sh" rustup
    exit 0
fi
cat >&2 <<'TEXT'
error: cargo is not installed
cause: Relight is built with the Rust that rust-toolchain.toml names, and Debian 12 has no rustup
hint:  see https://rustup.rs, or: curl -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env
TEXT
exit 1
