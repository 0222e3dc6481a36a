#!/bin/bash
# up.sh [NAME...]: start services and wait until they answer; default ce1 ce2 ce6.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -gt 0 ] || set -- ce1 ce2 ce6
for name in "$@"; do
    check_name "$name"
    configured "$name" || fail "$name is not installed: run install.sh"
done
renew_credentials
begin=$(date +%s%3N)
for name in "$@"; do "$HERE/svc.sh" start "$name"; done
result=0
for name in "$@"; do
    if wait_ready "$name"; then
        echo "$name ready after $(($(date +%s%3N) - begin)) ms"
    else
        echo "$name NOT ready, see $GRID/logs/$name.out" >&2
        result=1
    fi
done
exit $result
