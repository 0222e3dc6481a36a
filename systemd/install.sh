#!/bin/bash
# install.sh DESTDIR PREFIX UNITDIR: the tower as a package has it. An environment at PREFIX with a wheel of this checkout
# and what it needs, units, users and directories for systemd, configuration examples, documents, shell completions.
# All of it goes below DESTDIR ("" is this host) and works at PREFIX. PYTHON: the interpreter that the environment is for;
# EXTRAS: extras of setup.cfg, such as mysql,condor. Settings of pip (PIP_NO_INDEX, PIP_FIND_LINKS, ...) apply.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
destdir=$1 prefix=$2 units=$3
python=${PYTHON:-python3}
case $prefix in /*) ;; *) echo "install.sh: PREFIX must be absolute, not '$prefix'" >&2; exit 2;; esac
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "install.sh: $python is older than Python 3.11: name a newer one with PYTHON=" >&2; exit 1; }

there=$destdir$prefix
share=$there/share
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# A wheel of a clean copy: what earlier builds left in a checkout would get into it.
mkdir "$made/source"
cp -r --dereference act act_arc act_atlas act_condor setup.cfg pyproject.toml README.md "$made/source"
find "$made/source" -name __pycache__ -prune -exec rm -rf {} +
"$python" -m venv "$there"
"$there/bin/python" -m pip wheel -q --no-deps --wheel-dir "$made" "$made/source"
wheel=$(echo "$made"/*.whl)
"$there/bin/python" -m pip install -q --force-reinstall --no-deps "$wheel"
"$there/bin/python" -m pip install -q "$wheel${EXTRAS:+[$EXTRAS]}"

for shell in bash:/usr/share/bash-completion/completions/%s zsh:/usr/share/zsh/site-functions/_%s \
    fish:/usr/share/fish/vendor_completions.d/%s.fish; do
    for command in actctl actcli; do
        # shellcheck disable=SC2059 # the place is the format
        place=$destdir$(printf "${shell#*:}" "$command")
        mkdir -p "${place%/*}"
        env "_${command^^}_COMPLETE=${shell%%:*}_source" "$there/bin/$command" >"$place"
    done
done

# Scripts start the interpreter by its path, which is to be that without DESTDIR.
if [ -n "$destdir" ]; then
    grep -rlIF "$there" "$there/bin" "$there/pyvenv.cfg" | while read -r file; do
        [ -L "$file" ] || sed -i "s|$there|$prefix|g" "$file"
    done
    "$there/bin/python" -m compileall -q -f -s "$destdir" "$there/lib" # tracebacks name files by their path, too
fi

for unit in systemd/*.service systemd/*.target systemd/*.timer; do
    sed "s|/opt/act/|$prefix/|g" "$unit" | install -D -m 644 /dev/stdin "$destdir$units/${unit##*/}"
done
install -D -m 644 systemd/act.sysusers.conf "$destdir/usr/lib/sysusers.d/act.conf"
install -D -m 644 systemd/act.tmpfiles.conf "$destdir/usr/lib/tmpfiles.d/act.conf"
install -D -m 644 -t "$share/act/examples" etc/*.xml etc/prometheus/*.yml etc/grafana/*.json
install -D -m 644 -t "$share/doc/act" README.md CHANGELOG.md docs/*.md
for command in actctl actcli; do
    mkdir -p "$destdir/usr/bin"
    ln -sf "$prefix/bin/$command" "$destdir/usr/bin/$command"
done
