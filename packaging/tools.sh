#!/bin/sh
# Installs what `make deb` needs and this machine lacks, in the version that is known to work.
set -eu

version=3.8.0

if ! cargo deb --version 2>/dev/null | grep -qx "cargo-deb $version"; then
    cargo install cargo-deb --locked --version "$version"
fi
