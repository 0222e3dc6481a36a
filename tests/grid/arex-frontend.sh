#!/bin/bash
# arex-frontend.sh NAME: start the REST front end of a CE, inside its namespace, unless it lives; wait until its pid is
# known.
directory=$(dirname "$(dirname "$(readlink -f "$0")")")/$1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
export ARC_CONFIG=$directory/arc.conf X509_VOMS_DIR=${directory%/*}/certs/vomsdir

cd "$directory" || exit 1
exec 9>run/front-end.lock # one at a time: ws.sh and the CE's first process may both want it
flock 9
kill -0 "$(cat run/arched-arex-ws.pid 2>/dev/null)" 2>/dev/null && exit 0
rm -f run/arched-arex-ws.pid
ulimit -n 4096
ulimit -c 0
. ./ws.env
/usr/sbin/arched -c "$directory/ws.xml" 9>&- || exit 1
for ((i = 0; i < 50; i++)); do [ ! -s run/arched-arex-ws.pid ] || exit 0; sleep 0.1; done
exit 1
