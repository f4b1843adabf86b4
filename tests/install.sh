#!/bin/sh
# Installs what the tests need and this machine lacks. Changes nothing when all is there.
set -eu
cd "$(dirname "$0")/.."

packaging/tools.sh cargo-nextest

if [ "$(id -u)" -ne 0 ]; then
    echo "skipped: the lab and a few tests need root; they say so where they are left out"
    exit 0
fi
# A test takes a lock in another process.
command -v python3 >/dev/null 2>&1 || packaging/debian.sh python3-minimal
tests/lab/install.sh
