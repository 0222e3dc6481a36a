#!/bin/bash
# svc.sh start|stop|kill|status NAME: one service = one pid and mount namespace = one pid file.
# stop is orderly; kill is a power cut: everything of the service dies at once, its jobs too.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -eq 2 ] || fail "usage: svc.sh start|stop|kill|status NAME"
action=$1 name=$2
check_name "$name"
pidfile=$GRID/run/$name.pid
log=$GRID/logs/$name.out

# The pid file may be older than the last reboot: the process must carry the service's mark.
alive() {
    pid=$(cat "$pidfile" 2>/dev/null) && [ -n "$pid" ] &&
        grep -zqx "ACT_GRID_SERVICE=$GRID:$name" "/proc/$pid/environ" 2>/dev/null
}
signal_init() { # to the namespace's first process, with which all others end
    local init=
    read -r init _ <"/proc/$pid/task/$pid/children" || true
    kill "-$1" "${init:-$pid}" 2>/dev/null || true
}
wait_gone() { # wait_gone TENTHS
    local i
    for ((i = 0; i < $1; i++)); do
        [ -d "/proc/$pid" ] || return 0
        sleep 0.1
    done
    return 1
}

if [ "$action" != status ]; then
    exec 9>"$GRID/run/$name.lock"
    flock -w 60 9 || fail "$name is busy"
fi
case $action in
    start)
        if alive; then echo "$name already up ($pid)"; exit 0; fi
        ACT_GRID_SERVICE=$GRID:$name setsid unshare --mount --pid --fork --kill-child=KILL \
            "$HERE/namespace.sh" "$name" "$(init_of "$name")" </dev/null >"$log" 2>&1 8>&- 9>&- &
        echo $! >"$pidfile"
        for ((i = 0; i < 50; i++)); do alive && break; sleep 0.05; done # until it carries the mark
        echo "$name started ($pid)";;
    stop)
        if alive; then
            signal_init TERM
            wait_gone 100 || { signal_init KILL; wait_gone 100; }
            echo "$name stopped"
        fi
        rm -f "$pidfile";;
    kill)
        if alive; then
            signal_init KILL
            wait_gone 100
            echo "$name killed"
        fi
        rm -f "$pidfile";;
    status)
        if ! alive; then echo "$name down"; exit 1; fi
        echo "$name up ($pid)";;
    *) fail "no such action: $action";;
esac
