# shellcheck shell=bash disable=SC2034
# Sourced by every script of this directory: places, names, ports and small helpers.
set -euo pipefail
umask 022
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
GRID=${ACT_GRID:-/srv/act-grid}
CHROOT=$GRID/trixie
export ACT_GRID=$GRID

ARC_NAMES="ce1 ce2 ce3 ce6"
CONDOR_NAMES="condorA condorB"
# The ports that install.sh writes into the configurations; afterwards $GRID/ports/NAME tells.
declare -A PORT=(
    [ce1]=${ACT_GRID_CE1_PORT:-20443} [ce2]=${ACT_GRID_CE2_PORT:-20444}
    [ce3]=${ACT_GRID_CE3_PORT:-20445} [ce6]=${ACT_GRID_CE6_PORT:-20446}
    [condorA]=${ACT_GRID_CONDORA_PORT:-21618} [condorB]=${ACT_GRID_CONDORB_PORT:-21619})
# Local accounts that jobs are mapped to, the same in the chroot and on the host.
# Issuer of bearer tokens; it need not be reachable, the CEs are given its keys (tokens.py).
TOKEN_ISSUER=https://tokens.grid.test
ACCOUNTS="gridatlas:20001 gridprod:20002 gridother:20003"

say() { echo "[$(date +%T)] $*"; }
fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

case $GRID in /*[!A-Za-z0-9_./-]* | [!/]* | /) fail "ACT_GRID must be a plain absolute path, not '$GRID'";; esac
[ "$(id -u)" = 0 ] || fail "needs root (namespaces, chroot)"

check_name() { [ -n "${PORT[$1]:-}" ] || fail "no such service: $1"; }
# The file system a service lives in: the chroot, or the host itself for the native A-REX.
root_of() { case $1 in ce6) ;; *) echo "$CHROOT";; esac; }
init_of() { case $1 in ce*) echo "$GRID/bin/arex-init.sh";; *) echo "$GRID/bin/condor-init.sh";; esac; }
port_of() { cat "$GRID/ports/$1"; }
configured() { [ -s "$(root_of "$1")$GRID/$1/configured" ]; }

# A python with `cryptography`: the caller's, the grid's own, the system's.
find_python() {
    local python probe='from cryptography.x509 import Certificate; Certificate.not_valid_after_utc' # since 42
    for python in "${PYTHON:-}" "$GRID/venv/bin/python" python3; do
        if [ -n "$python" ] && "$python" -c "$probe" 2>/dev/null; then
            echo "$python"; return
        fi
    done
    return 1
}

# The test CA and certificates when missing, proxies when they are near their end.
renew_credentials() {
    local python
    python=$(find_python) || fail "no python with cryptography >= 42: run install.sh"
    PYTHONPATH=$HERE/../.. flock -w 120 "$GRID/run/credentials.lock" "$python" -P -m tests.grid.credentials "$GRID"
}

ask_pool() { # ask_pool POOL COMMAND...: as root there
    chroot "$CHROOT" env "CONDOR_CONFIG=$GRID/$1/condor_config" timeout 10 "${@:2}"
}

ready() {
    case $1 in
        ce*) curl -s -k -o /dev/null --max-time 2 "https://localhost:$(port_of "$1")/arex/rest";;
        *) [ -n "$(ask_pool "$1" condor_status -af Name 2>/dev/null)" ] &&
            ask_pool "$1" condor_q -all -totals >/dev/null 2>&1;;
    esac
}

# Wait up to a minute; give up at once when the service is not even running.
wait_ready() {
    local deadline=$((SECONDS + 60))
    until ready "$1"; do
        [ $SECONDS -lt $deadline ] && "$HERE/svc.sh" status "$1" >/dev/null || return 1
        sleep 0.2
    done
}
