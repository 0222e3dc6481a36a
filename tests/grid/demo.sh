#!/bin/bash
# demo.sh [ARGUMENT...]: the demonstration on real A-REX 7, ce1 and ce2; what this starts of them it stops.
# Arguments go to "actctl demo".
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PYTHON=${PYTHON:-python3}
started=()
for name in ce1 ce2; do
    "$HERE/svc.sh" status "$name" >/dev/null || started+=("$name")
done
trap '[ ${#started[@]} -eq 0 ] || "$HERE/down.sh" "${started[@]}"' EXIT
trap : INT # the demonstration ends by itself, then the CEs
"$HERE/up.sh" ce1 ce2
urls=()
for name in ce1 ce2; do urls+=(--ce-url "https://localhost:$(cat "$GRID/ports/$name")/arex"); done
"$PYTHON" -m act.cli demo "${urls[@]}" --ca-dir "$GRID/certs/ca" \
    --cert "$GRID/certs/users/bob-cert.pem" --key "$GRID/certs/users/bob-key.pem" "$@"
