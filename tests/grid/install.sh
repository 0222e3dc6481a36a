#!/bin/bash
# install.sh [--no-condor]: put the middleware under $ACT_GRID (default /srv/act-grid); see README.md.
# Needs root on Debian 12, its mirror and PyPI. Safe to run again: it makes only what is missing or out of date.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
export DEBIAN_FRONTEND=noninteractive

CONDOR=1
case ${1:-} in
    "") ;;
    --no-condor) CONDOR=;;
    *) fail "usage: install.sh [--no-condor]";;
esac
grep -q '^VERSION_CODENAME=bookworm' /etc/os-release || fail "needs Debian 12 (A-REX 6.17 comes from bookworm)"
CHROOT_PACKAGES=(nordugrid-arc-arex xrootd-server xrootd-plugins xrootd-server-plugins procps openssl ${CONDOR:+condor})

apt_get() { apt-get -q -o DPkg::Lock::Timeout=300 "$@"; }
in_chroot() { chroot "$CHROOT" "$@"; }
# installed PACKAGE... (in the chroot: IN=in_chroot)
installed() {
    local status package
    for package in "$@"; do
        status=$(${IN:-} dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || return 1
        [ "$status" = installed ] || return 1
    done
}
logged() {
    local log=$GRID/logs/$1.log
    "${@:2}" >"$log" 2>&1 || { tail -20 "$log" >&2; fail "failed: ${*:2:4} (log: $log)"; }
}
add_accounts() { # add_accounts [in_chroot]
    local account
    for account in $ACCOUNTS; do
        ${1:-} id "${account%:*}" >/dev/null 2>&1 || ${1:-} useradd -m -u "${account#*:}" -s /bin/bash "${account%:*}"
    done
}

make_directories() {
    mkdir -p "$GRID"/{run,logs,ports,share,certs,proxies,bin}
    chown root:root "$GRID" "$GRID/share"
    chown -R root:root "$GRID"/{run,logs,ports,certs,proxies,bin}
    chmod 755 "$GRID" "$GRID"/{run,logs,ports,certs,proxies,bin}
    chmod 1777 "$GRID/share"
}

host_packages() {
    installed debootstrap && installed nordugrid-arc-arex && return
    say "packages of the host: debootstrap, A-REX 6.17"
    # The daemons are run by svc.sh alone: neither the installation nor a reboot may start them.
    local policy=/usr/sbin/policy-rc.d temporary=
    if [ ! -e "$policy" ]; then
        temporary=1
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    logged host-apt-update apt_get update
    logged host-apt apt_get install -y --no-install-recommends debootstrap nordugrid-arc-arex
    if [ -d /run/systemd/system ]; then
        systemctl --quiet disable --now arc-arex.service arc-arex-ws.service || true
    fi
    if [ -n "$temporary" ]; then rm -f "$policy"; trap - EXIT; fi
}

# An interrupted debootstrap leaves its own mounts behind: never delete through them.
remove_chroot() {
    "$HERE/down.sh"
    local mounted
    findmnt -rno TARGET | tac | while read -r mounted; do
        case $mounted in "$CHROOT"/*) umount "$mounted";; esac
    done
    rm -rf --one-file-system "$CHROOT"
}

make_chroot() {
    if [ ! -e "$CHROOT/.bootstrapped" ]; then
        say "chroot: debootstrap trixie"
        remove_chroot
        local mirror=${MIRROR:-$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)}
        logged debootstrap debootstrap --variant=minbase --include=ca-certificates trixie "$CHROOT" \
            "${mirror:-http://deb.debian.org/debian}"
        printf '#!/bin/sh\nexit 101\n' >"$CHROOT/usr/sbin/policy-rc.d"
        chmod 755 "$CHROOT/usr/sbin/policy-rc.d"
        # The host's proxy and the like.
        apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries)' >"$CHROOT/etc/apt/apt.conf.d/90host" || true
        printf 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n' >"$CHROOT/etc/apt/apt.conf.d/91slim"
        printf 'force-unsafe-io\npath-exclude=/usr/share/%s/*\n' doc >"$CHROOT/etc/dpkg/dpkg.cfg.d/slim"
        printf 'path-exclude=/usr/share/%s/*\n' man locale >>"$CHROOT/etc/dpkg/dpkg.cfg.d/slim"
        touch "$CHROOT/.bootstrapped"
    fi
    cp /etc/resolv.conf /etc/hosts "$CHROOT/etc/" # A-REX's packages ask for the full host name
    if ! { IN=in_chroot installed "${CHROOT_PACKAGES[@]}" && in_chroot apt-get -qq check >/dev/null 2>&1; }; then
        say "chroot: ${CHROOT_PACKAGES[*]}"
        logged chroot-apt-update in_chroot apt-get -q update
        in_chroot dpkg --configure -a >"$GRID/logs/chroot-dpkg.log" 2>&1 || true # a run may have been interrupted
        logged chroot-apt-fix in_chroot apt-get -q install -y --fix-broken
        logged chroot-apt in_chroot apt-get -q install -y "${CHROOT_PACKAGES[@]}"
        in_chroot apt-get clean
        rm -rf "$CHROOT"/var/lib/apt/lists/* "$CHROOT"/usr/share/{doc,man,locale}/*
    fi
    add_accounts in_chroot
    mkdir -p "$CHROOT$GRID"/{certs,share,bin}
    # The package makes a test CA of its own there: ours takes its place.
    local directory
    for directory in certificates:ca vomsdir:vomsdir; do
        rm -rf "$CHROOT/etc/grid-security/${directory%:*}"
        ln -s "$GRID/certs/${directory#*:}" "$CHROOT/etc/grid-security/${directory%:*}"
    done
}

make_credentials() {
    if ! find_python >/dev/null; then
        say "python environment with cryptography"
        installed python3-venv || logged host-apt-venv apt_get install -y --no-install-recommends python3-venv
        rm -rf "$GRID/venv"
        logged venv python3 -m venv "$GRID/venv"
        logged venv-pip "$GRID/venv/bin/pip" install -q 'cryptography>=42'
    fi
    [ -s "$GRID/certs/host-cert.pem" ] || "$HERE/down.sh" # services hold the old ones
    renew_credentials
}

[ ! -L "$GRID" ] || fail "$GRID must not be a symbolic link"
make_directories
exec 8>"$GRID/run/install.lock"
flock -w 1200 8 || fail "another installation is running"
host_packages
make_chroot
add_accounts
mkdir -p /etc/grid-security/vomsdir
make_credentials
for name in $ARC_NAMES; do "$HERE/arex-configure.sh" "$name"; done
if [ -n "$CONDOR" ]; then
    for name in $CONDOR_NAMES; do "$HERE/condor-configure.sh" "$name"; done
    "$HERE/condor-client.sh"
fi
say "installed in $GRID"
