#!/bin/sh
# Installs the cargo tools that are named and missing, in the versions that are known to work.
#
#   packaging/tools.sh [cargo-nextest] [cargo-deny]
set -eu

"$(dirname "$0")/toolchain.sh"
missing=
for tool in "$@"; do
    case $tool in
    cargo-nextest) version=0.9.143 ;;
    cargo-deny) version=0.20.2 ;;
    *)
        echo "error: no version of $tool is known here" >&2
        exit 2
        ;;
    esac
    # Such as `cargo-nextest 0.9.143 (60fa45f63 2026-08-04)`.
    found=$(cargo "${tool#cargo-}" --version 2>/dev/null | head -n 1 || true)
    case " $found " in
    *" $version "*) ;;
    *) missing="$missing $tool@$version" ;;
    esac
done
[ -n "$missing" ] || exit 0

# They are used a few times each: quick to build counts more than quick to run.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=false
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 CARGO_PROFILE_RELEASE_DEBUG=false
build=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/tools
echo "building$missing (some minutes, once)"
# A terminal gets cargo's progress, a log does not need it.
quiet=--quiet
[ ! -t 2 ] || quiet=
# One folder and one command for all: what they have in common is built once.
# shellcheck disable=SC2086 # one word for each tool
cargo install $quiet --locked --force --target-dir "$build" $missing
rm -rf "$build"
