#!/bin/sh
# Writes the manual pages and the completions that the package ships, as agentctl itself makes them,
# and the page of relightd:
#
#   packaging/manual.sh AGENTCTL FOLDER
#
# packaging/debian/rules lists what stands in the folder afterwards.
set -eu

agentctl=$1
folder=$2

# A page of a verb that is gone must not stay.
rm -rf "$folder"
mkdir -p "$folder/man"
"$agentctl" man "$folder/man"
cp "$(dirname "$0")/relightd.8" "$folder/man"
"$agentctl" completions bash >"$folder/agentctl.bash"
"$agentctl" completions zsh >"$folder/agentctl.zsh"
"$agentctl" completions fish >"$folder/agentctl.fish"
