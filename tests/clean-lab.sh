#!/bin/sh
# Ends the labs that `relight-lab up --keep` left running and removes the images that nodes stand
# on. A lab whose program still runs is left alone, and the images with it.
set -eu
cd "$(dirname "$0")/.."

state=${RELIGHT_LAB_STATE:-/var/lib/relight-lab}
images=${RELIGHT_LAB_CACHE:-/var/cache/relight-lab}

for record in "$state"/lab-*/lab.json; do
    [ -e "$record" ] || continue
    grep -q '"kept": true' "$record" || continue
    folder=$(dirname "$record")
    cargo run --quiet -p relight-tests --bin relight-lab -- --lab "${folder##*/lab-}" down
    echo "ended lab ${folder##*/lab-}"
done

for folder in "$state"/lab-*; do
    if [ -e "$folder" ]; then
        echo "error: $folder still exists, so the images stay" >&2
        echo "hint:  let its program end; what a killed one left goes with the next lab" >&2
        exit 1
    fi
done
# Without a lab nothing is mounted there; the option keeps it so if that is ever wrong.
rm -rf --one-file-system "$images"
echo "removed $images"
