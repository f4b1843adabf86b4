#!/bin/sh
# Writes the manual pages and the completions that the package ships, as agentctl itself makes them,
# and the page of relightd:
#
#   packaging/manual.sh AGENTCTL FOLDER
#
# agent/Cargo.toml lists what stands in the folder afterwards.
set -eu

agentctl=$1
folder=$2

# A page of a verb that is gone must not stay.
rm -rf "$folder"
mkdir -p "$folder/man"
"$agentctl" man "$folder/man"
# As Debian wants them; cargo-deb packs no file that it takes for one that was built.
cp "$(dirname "$0")/relightd.8" "$folder/man"
gzip -9n "$folder"/man/*.[18]
"$agentctl" completions bash >"$folder/agentctl.bash"
"$agentctl" completions zsh >"$folder/agentctl.zsh"
"$agentctl" completions fish >"$folder/agentctl.fish"
