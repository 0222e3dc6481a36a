#!/bin/bash
# arex-frontend.sh NAME: start the REST front end of a CE, inside its namespace.
directory=$(dirname "$(dirname "$(readlink -f "$0")")")/$1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
export ARC_CONFIG=$directory/arc.conf X509_VOMS_DIR=${directory%/*}/certs/vomsdir

cd "$directory" || exit 1
rm -f run/arched-arex-ws.pid
ulimit -n 4096
ulimit -c 0
. ./ws.env
exec /usr/sbin/arched -c "$directory/ws.xml"
