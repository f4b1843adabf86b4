#!/bin/sh
# Turns a fresh Debian root file system into the image of a lab node. mmdebstrap calls it with the
# root's path. MariaDB stays exactly as Debian ships it, its units included.
set -eu
root=$1

in_root() { chroot "$root" "$@" >/dev/null 2>&1; }

# The address comes from a file that the lab writes for each node.
in_root systemctl enable systemd-networkd.service

# Noise: consoles nobody types at, and jobs that would run in the middle of a story.
for unit in console-getty.service getty@tty1.service e2scrub_reap.service apt-daily.timer \
    apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do
    in_root systemctl mask "$unit"
done

# The journal has to survive a power cut, and a story must not lose lines to the rate limit.
mkdir -p "$root/var/log/journal" "$root/etc/systemd/journald.conf.d"
cat > "$root/etc/systemd/journald.conf.d/lab.conf" <<'CONF'
[Journal]
Storage=persistent
RateLimitBurst=0
SystemMaxUse=200M
CONF

# Each node makes its own identity at its first start; mmdebstrap copied these from this machine.
: > "$root/etc/machine-id"
: > "$root/etc/resolv.conf"
rm -f "$root/etc/hostname" "$root/var/lib/dbus/machine-id"
