#!/bin/sh
# Packs what cargo has built into relight_*_amd64.deb, with Debian's own tools:
#
#   packaging/deb.sh BUILT FOLDER [fast]
#
# BUILT is the folder of cargo's profile with relightd, agentctl and share/ (packaging/manual.sh);
# the package goes to FOLDER. `fast` packs it larger and sooner, which is better for the lab.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
built=$(cd "$1" && pwd)
mkdir -p "$2"
folder=$(cd "$2" && pwd)

command -v dh_installsystemd >/dev/null 2>&1 || "$root/packaging/debian.sh" debhelper dpkg-dev

# debhelper works in the parent of debian/, and writes the package beside that.
tree=$folder/tree/relight
rm -rf "$folder/tree"
mkdir -p "$tree/built"
cp -r "$root/packaging/debian" "$tree/debian"
cp -r "$root/packaging" "$root/systemd" "$root/CHANGELOG.md" "$tree/"
cp -r "$built/relightd" "$built/agentctl" "$built/share" "$tree/built/"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
# A package of the same commit is the same package.
date=$(git -C "$root" log -1 --format=%cD 2>/dev/null || date -R)
cat >"$tree/debian/changelog" <<TEXT
relight ($version-1) unstable; urgency=medium

  * CHANGELOG.md tells what is new.

 -- The Relight authors <relight@localhost>  $date
TEXT
# The copy belongs to whoever builds, and nobody need be root for it.
export DEB_RULES_REQUIRES_ROOT=no
case ${3:-} in
fast) export RELIGHT_COMPRESSION=-Zgzip\ -z1 ;;
*) export RELIGHT_COMPRESSION=-Zxz ;;
esac
said=$folder/tree/said.txt
if ! (cd "$tree" && debian/rules binary) >"$said" 2>&1; then
    cat "$said" >&2
    exit 1
fi
rm -f "$folder"/relight_*.deb
mv "$folder"/tree/relight_*.deb "$folder/"
rm -rf "$folder/tree"
ls "$folder"/relight_*.deb
