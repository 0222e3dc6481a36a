#!/bin/bash
# ws.sh stop|start|freeze|thaw CE: only the REST front end of a CE; its jobs go on.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -eq 2 ] || fail "usage: ws.sh stop|start|freeze|thaw CE"
action=$1 name=$2
check_name "$name"
"$HERE/svc.sh" status "$name" >/dev/null || fail "$name is down"
root=$(root_of "$name")
pid=$(cat "$GRID/run/$name.pid")
init=
read -r init _ <"/proc/$pid/task/$pid/children" || true
[ -n "$init" ] || fail "$name is ending"

inside() { nsenter -t "$init" -m -p chroot "${root:-/}" "$@"; }
signal() { inside /bin/kill "-$1" "$(cat "$root$GRID/$name/run/arched-arex-ws.pid")"; }
running() { signal 0 2>/dev/null; }

case $action in
    freeze) signal STOP;;
    thaw) signal CONT;;
    stop)
        touch "$root$GRID/$name/run/front-end.stopped" # else it would be started again
        running || exit 0
        signal KILL
        for ((i = 0; i < 50; i++)); do running || exit 0; sleep 0.1; done
        fail "the front end of $name does not end";;
    start)
        rm -f "$root$GRID/$name/run/front-end.stopped"
        if ! running; then inside "$GRID/bin/arex-frontend.sh" "$name" </dev/null >>"$GRID/logs/$name.out" 2>&1; fi
        wait_ready "$name" || fail "the front end of $name does not answer";;
    *) fail "no such action: $action";;
esac
