#!/bin/bash
# demo.sh arex|condor [ARGUMENT...]: the demonstration on real CEs: A-REX 7, ce1 and ce2; or two ways into HTCondor,
# condorA's own pool and, through its schedd, condorB. What this starts of them it stops.
# Arguments go to "actctl demo".
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PYTHON=${PYTHON:-python3}
case ${1:-} in
    arex) names=(ce1 ce2);;
    condor) names=(condorA condorB);;
    *) fail "usage: demo.sh arex|condor [ARGUMENT...]";;
esac
started=() work=
for name in "${names[@]}"; do
    "$HERE/svc.sh" status "$name" >/dev/null || started+=("$name")
done
end_jobs() { # those that an interrupted demonstration left in condorA's queue, and what they are at condorB
    local ours="regexp(\"^$work/\", Iwd)" i
    "$HERE/svc.sh" status condorA >/dev/null || return 0
    for ((i = 0; i < 100; i++)); do
        [ -n "$(ask_pool condorA condor_q -all -constraint "$ours" -af ClusterId)" ] || return 0
        if [ $i = 0 ]; then
            ask_pool condorA condor_qedit -constraint "$ours" LeaveJobInQueue False
            ask_pool condorA condor_rm -constraint "$ours"
        fi >/dev/null
        sleep 0.3
    done
    echo "some jobs do not leave the queue of condorA" >&2
}
finish() {
    if [ -n "$work" ]; then
        end_jobs
        rm -rf "$work"
    fi
    [ ${#started[@]} -eq 0 ] || "$HERE/down.sh" "${started[@]}"
}
trap finish EXIT
trap : INT # the demonstration ends by itself, then the CEs
"$HERE/up.sh" "${names[@]}"

arguments=(--ca-dir "$GRID/certs/ca" --cert "$GRID/certs/users/bob-cert.pem" --key "$GRID/certs/users/bob-key.pem")
case $1 in
    arex)
        for name in "${names[@]}"; do arguments+=(--ce-url "https://localhost:$(port_of "$name")/arex"); done;;
    condor)
        near=localhost:$(port_of condorA) far=localhost:$(port_of condorB)
        work=$(mktemp -d "$GRID/share/demo.XXXXXX")
        chown gridatlas: "$work" # whom the pools take bob for
        cat >"$work/ces.xml" <<EOF
<ces>
  <submit_point name="condorA@grid.test">
    <flavour>condor</flavour>
    <option name="submit_collector" value="$near"/>
    <option name="condor_config" value="$GRID/condor-client/proxy.config"/>
    <option name="owner" value="gridatlas"/>
  </submit_point>
  <ce url="$near"><option name="route" value="pool"/></ce>
  <ce url="$far"><option name="schedd" value="condorB@grid.test"/></ce>
</ces>
EOF
        arguments+=(--ce-flavour HTCONDOR-CE --ce-queue default --ce-url "$near" --ce-url "$far"
            --ces "$work/ces.xml" --work-dir "$work" --limit 240);;
esac
"$PYTHON" -m act.cli demo "${arguments[@]}" "${@:2}"
