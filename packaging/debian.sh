#!/bin/sh
# Installs Debian packages without a question: packaging/debian.sh PACKAGE...
set -eu

if [ "$(id -u)" -ne 0 ]; then
    echo "error: these packages are missing, and installing them needs root: $*" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq install -y --no-install-recommends "$@" >/dev/null 2>&1 || {
    # The package lists may be old or absent.
    apt-get -qq update >/dev/null
    apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}
