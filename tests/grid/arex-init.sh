#!/bin/bash
# arex-init.sh NAME: first process of a CE's namespace; starts A-REX and its REST front end, then reaps their orphans.
# The front end dies now and then under load: it is started again, as a site's systemd would, but not where ws.sh
# stopped it.
directory=$(dirname "$(dirname "$(readlink -f "$0")")")/$1
bin=$(dirname "$(readlink -f "$0")")
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
export ARC_CONFIG=$directory/arc.conf X509_VOMS_DIR=${directory%/*}/certs/vomsdir

finish() {
    local pidfile
    for pidfile in "$directory"/run/*.pid; do
        [ -s "$pidfile" ] && kill "$(cat "$pidfile")" 2>/dev/null
    done
    sleep 0.3
    exit 0
}
trap finish TERM INT

cd "$directory" || exit 1
rm -f run/*.pid run/front-end.stopped
# As "arcctl rte enable ENV/PROXY": jobs get the proxy that was delegated, as on every site that takes pilots.
mkdir -p control/rte/enabled/ENV
ln -sfn /usr/share/arc/rte/ENV/PROXY control/rte/enabled/ENV/PROXY
# As "arcctl deploy jwt-issuer": the keys of the issuer of bearer tokens.
mkdir -p control/tokenissuers
cp -a "${directory%/*}/certs/tokenissuer" control/tokenissuers/grid
ulimit -n 4096
ulimit -c 0
(. ./arex.env && exec /usr/sbin/arched -c "$directory/arex.xml") || exit 1
"$bin/arex-frontend.sh" "$1" || exit 1
while :; do
    sleep 2 & wait $!
    [ -e run/front-end.stopped ] || kill -0 "$(cat run/arched-arex-ws.pid)" 2>/dev/null || "$bin/arex-frontend.sh" "$1"
done
