#!/bin/sh
# Says before the demo begins what it does, what of it is done already, and about how long the rest
# takes on a machine with two cores: the build by the processor time that it takes; a slow line adds
# to it.
#
#   tests/demo-plan.sh PROGRAM        PROGRAM: the lab as cargo builds it
set -eu

images=${RELIGHT_LAB_CACHE:-/var/cache/relight-lab}
# Stop before anything is installed where it could not end well.
if [ "$(id -u)" -ne 0 ]; then
    cat >&2 <<'TEXT'
error: the demo cannot boot its nodes
cause: nodes are namespaces of this machine, and making them needs root
hint:  sudo make demo
TEXT
    exit 1
fi

built='about 5 min'
[ ! -x "$1" ] || built='what has changed'
imaged='about 1 min'
for image in "$images"/bookworm-*/root; do
    [ ! -d "$image" ] || imaged='there already'
done

cat <<TEXT
A cluster of three MariaDB nodes loses its power and comes back by itself, on this machine.

  1  install what is missing: Debian packages, Rust              up to 2 min
  2  build Relight, quick to build and slow to run               $built
  3  make the image of the nodes from Debian packages            $imaged
  4  found the cluster, cut the power, watch it come back        about 1 min

Nodes are namespaces with a network of their own; nothing outside of $images
and the build folder is kept, and \`make clean-lab\` removes the images. Ctrl-C ends it at any time.
TEXT
