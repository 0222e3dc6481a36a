#!/bin/bash
# setup.sh [--packages-only]: what the tests need of the system, before pytest: packages and the test grid (tests/grid).
# Without root it says what is missing; the tests that need it are then skipped.
# The environment variables of tests/grid/README.md (ACT_GRID, PYTHON, ...) apply.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export DEBIAN_FRONTEND=noninteractive

# mariadb-client, sqlite3: what backups are made with; gcc, python3-dev, pkg-config, libmariadb-dev: to build mysqlclient;
# systemd, dbus: what the units are tried with;
# chromium, chromium-driver: what the pages are looked at with; prometheus: promtool;
# nodejs, oidc-agent-cli: an OIDC issuer and what people log in there with; the last line: for tests/grid.
packages=(mariadb-server-core mariadb-client sqlite3
    xrootd-server xrootd-plugins xrootd-server-plugins
    voms-server voms-mysql-plugin voms-clients nordugrid-arc-client
    gcc python3-dev python3-venv pkg-config libmariadb-dev
    systemd dbus
    chromium chromium-driver
    prometheus
    nodejs oidc-agent-cli
    debootstrap openssl curl procps util-linux mount)
command -v npm >/dev/null || packages+=(npm)

# axe-core, which finds what people cannot use on a page (tests/browser): its one file, from npm's registry.
get_axe() {
    local version=4.14.1 cache=${XDG_CACHE_HOME:-$HOME/.cache}/act-tests made
    [ ! -f "$cache/axe-core-$version/axe.min.js" ] || return 0
    echo "setup.sh: fetching axe-core $version"
    mkdir -p "$cache"
    made=$(mktemp -d "$cache/axe-XXXXXX")
    (cd "$made" && npm pack --silent "axe-core@$version" >/dev/null && tar -xzf axe-core-*.tgz)
    mv -T "$made/package" "$cache/axe-core-$version"
    rm -rf "$made"
}

# oidc-provider, an issuer of tokens (tests/services/oidc.py): what its lock file pins, and nothing of it is run here.
get_oidc_provider() {
    local pinned=$PWD/services/oidc-provider cache=${XDG_CACHE_HOME:-$HOME/.cache}/act-tests digest made
    digest=$(sha256sum "$pinned/package-lock.json")
    [ ! -d "$cache/oidc-provider-${digest:0:16}" ] || return 0
    echo "setup.sh: fetching oidc-provider"
    mkdir -p "$cache"
    made=$(mktemp -d "$cache/oidc-XXXXXX")
    cp "$pinned"/package*.json "$made"
    (cd "$made" && npm ci --silent --ignore-scripts --no-audit --no-fund >/dev/null)
    mv -T "$made" "$cache/oidc-provider-${digest:0:16}"
}

missing=()
for package in "${packages[@]}"; do
    dpkg -s "$package" 2>/dev/null | grep -x 'Status: .* ok installed' >/dev/null || missing+=("$package")
done

if [ "$(id -u)" != 0 ]; then
    [ ${#missing[@]} = 0 ] || echo "setup.sh: missing packages (install them as root): ${missing[*]}"
    echo "setup.sh: not root: the test grid is neither installed nor used"
    exit 0
fi

if [ ${#missing[@]} -gt 0 ]; then
    echo "setup.sh: installing ${missing[*]}"
    log=$(mktemp)
    apt_get() { apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }; }
    apt_get update
    apt_get install -y --no-install-recommends "${missing[@]}"
    # shellcheck disable=SC2076 # a word among others
    if [[ " ${missing[*]} " =~ ' prometheus ' ]]; then # only its tool is wanted, not a service
        systemctl --quiet disable prometheus >>"$log" 2>&1
        systemctl stop prometheus >>"$log" 2>&1 || true
    fi
    rm -f "$log"
fi
get_axe
get_oidc_provider
[ "${1:-}" = --packages-only ] || grid/install.sh
