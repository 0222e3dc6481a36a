#!/bin/bash
# pool.sh freeze|thaw|kill-schedd POOL: only what clients of a pool talk to; its jobs go on.
# pool.sh run POOL COMMAND...: a tool of HTCondor in the pool, as root.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -eq 2 ] || [ "${1:-}" = run ] || fail "usage: pool.sh freeze|thaw|kill-schedd POOL, pool.sh run POOL COMMAND..."
action=$1 name=$2
check_name "$name"
"$HERE/svc.sh" status "$name" >/dev/null || fail "$name is down"
pid=$(cat "$GRID/run/$name.pid")
init=
read -r init _ <"/proc/$pid/task/$pid/children" || true
master=$(pgrep -P "${init:-0}" -x condor_master) || fail "$name is ending"

# daemon NAME...: pids; the kernel knows 15 characters of a name
daemon() {
    local each
    for each in "$@"; do pgrep -P "$master" -x "${each:0:15}" || fail "$name has no $each"; done
}

case $action in
    run) ask_pool "$name" "${@:3}";;
    freeze) daemon condor_shared_port condor_collector condor_schedd | xargs kill -STOP;;
    thaw) daemon condor_shared_port condor_collector condor_schedd | xargs kill -CONT;;
    kill-schedd)
        old=$(daemon condor_schedd)
        kill -KILL "$old"
        deadline=$((SECONDS + 60))
        until new=$(pgrep -P "$master" -x condor_schedd) && [ "$new" != "$old" ] && ready "$name"; do
            [ $SECONDS -lt $deadline ] || fail "the schedd of $name does not come back"
            sleep 0.2
        done;;
    *) fail "no such action: $action";;
esac
