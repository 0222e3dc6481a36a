#!/bin/bash
# run.sh PYTHON [PYTEST-ARGUMENTS...]: all tests, or just what the arguments choose.
# What needs no real CE runs four at a time, the longest first, and beside it what HTCondor takes part in, which mostly
# waits. The other groups with real CEs (mark group) follow, each in one piece, as what disturbs a CE must not meet
# others there; in the end alone what measures a pace.
# CEs of the test grid that the tests bring up are stopped in the end.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1
shift

grid=${ACT_GRID:-/srv/act-grid}
started() { find "$grid/run" -name '*.pid' -printf '%f\n' 2>/dev/null | sed 's/\.pid$//' | sort; }
before=$(started)
stop_ours() {
    local ours
    ours=$(comm -13 <(echo "$before") <(started))
    # shellcheck disable=SC2086 # names of CEs hold no spaces
    [ -z "$ours" ] || tests/grid/down.sh $ours
}
trap stop_ours EXIT
trap 'trap "" TERM; kill 0; wait; exit 130' INT TERM # what a shell starts in the background ignores Ctrl-C

if [ $# -gt 0 ]; then
    "$python" -m pytest "$@"
    exit
fi
# group NAME: a group of the tests with real middleware; what it says comes in one piece. "others": those without.
group() {
    local said code=0
    if [ "$1" = others ]; then
        "$python" -m pytest -n 4 --dist worksteal --durations=12 -m "not real and not pace" tests/acceptance tests/faults \
            tests/browser tests/contract tests/integration tests/unit
        return
    fi
    said=$("$python" -m pytest --durations=6 -m "real and not pace and group(name='$1')" tests/contract tests/acceptance \
        tests/integration 2>&1) || code=$?
    echo "$said"
    return $code
}
# both COMMAND -- COMMAND: side by side.
both() {
    local code=0 first=() pid
    while [ "$1" != -- ]; do first+=("$1"); shift; done
    shift
    "${first[@]}" &
    pid=$!
    "$@" || code=$?
    wait "$pid" || code=$?
    return $code
}
others_first() {
    local code=0
    group others || code=$?
    both group arc -- group units || code=$?
    return $code
}
pools_first() {
    local code=0
    group pools || code=$?
    group contract || code=$?
    return $code
}

both pools_first -- others_first && "$python" -m pytest -m pace tests/contract tests/acceptance
