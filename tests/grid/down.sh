#!/bin/bash
# down.sh [--wipe] [NAME...]: stop services; default all that were started. --wipe also deletes their jobs and logs.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

wipe=
if [ "${1:-}" = --wipe ]; then wipe=1; shift; fi
if [ $# -eq 0 ]; then
    for pidfile in "$GRID"/run/*.pid; do
        [ -e "$pidfile" ] && set -- "$@" "$(basename "$pidfile" .pid)"
    done
fi
for name in "$@"; do check_name "$name"; done
for name in "$@"; do "$HERE/svc.sh" stop "$name" & done
wait
for name in "$@"; do
    if "$HERE/svc.sh" status "$name" >/dev/null; then fail "$name does not stop"; fi
    [ -n "$wipe" ] || continue
    directory=$(root_of "$name")$GRID/$name
    for part in control session cache tmp log spool execute; do
        if [ -d "$directory/$part" ]; then find "$directory/$part" -mindepth 1 -delete; fi
    done
done
