#!/bin/bash
# condor-init.sh NAME: first process of a pool's namespace; runs condor_master and ends it in order.
directory=$(dirname "$(dirname "$(readlink -f "$0")")")/$1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
export CONDOR_CONFIG=$directory/condor_config

finish() {
    kill -QUIT "$master"
    for _ in $(seq 80); do kill -0 "$master" 2>/dev/null || break; sleep 0.1; done
    exit 0
}

cd / || exit 1
ulimit -c 0
rm -rf "$directory/lock/daemon_sock"
condor_master -f &
master=$!
trap finish TERM INT
while kill -0 "$master" 2>/dev/null; do wait "$master"; done
