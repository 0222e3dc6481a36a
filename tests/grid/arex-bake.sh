#!/bin/bash
# arex-bake.sh NAME: inside the CE's file system, have the package's start scripts write the daemons' XML and environment.
set -eu
bin=$(dirname "$(readlink -f "$0")")
directory=${bin%/*}/$1
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root ARC_CONFIG=$directory/arc.conf
BAKED=$directory/arex "$bin/arc-arex-start"
BAKED=$directory/ws "$bin/arc-arex-ws-start"
