#!/bin/sh
# Installs what the lab needs on a Debian or Ubuntu machine. Changes nothing when all is there.
set -eu

missing=
need() { # need PROGRAM PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

PATH=$PATH:/usr/sbin:/sbin
need mmdebstrap mmdebstrap
need systemd-nspawn systemd-container
need ip iproute2
need nft nftables
need nsenter util-linux
# A story gives one program another clock.
[ -e /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 ] || missing="$missing libfaketime"
# mmdebstrap checks signatures with this keyring; on Ubuntu it is not installed by default.
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"

[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "error: the lab needs these packages, and installing them needs root:$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # one word for each package
apt-get -qq install -y --no-install-recommends $missing >/dev/null 2>&1 || {
    # The package lists may be old or absent.
    apt-get -qq update >/dev/null
    apt-get -qq install -y --no-install-recommends $missing >/dev/null
}
