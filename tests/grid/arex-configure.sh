#!/bin/bash
# arex-configure.sh NAME: write and bake the configuration of one CE in $GRID/NAME of its file system, if out of date.
#
# The package's start scripts are slow (5-24 s), look up a time server, make 4096-bit Diffie-Hellman parameters and
# listen on all interfaces. Copies of them, changed below, write the daemons' XML once; arex-init.sh starts from that.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name=$1
check_name "$name"
root=$(root_of "$name")
port=${PORT[$name]}
period=${ACT_GRID_INFO_PERIOD:-5} # seconds between two passes of the information provider; 60 in the package
directory=$GRID/$name
bin=$root$GRID/bin

version=$(chroot "${root:-/}" dpkg-query -W -f '${Version}' nordugrid-arc-arex)
wanted="$version port=$port period=$period $(cat "$HERE"/arex-*.sh | sha256sum)"
[ "$(cat "$root$directory/configured" 2>/dev/null)" != "$wanted" ] || exit 0

say "$name: A-REX $version on port $port"
"$HERE/svc.sh" stop "$name"
rm -f "$root$directory/configured"
mkdir -p "$bin" "$root$directory"/{control,session,log,run,tmp,cache}
chown root:root "$root$directory" "$root$directory"/{control,session,log,run,tmp,cache}
chmod 755 "$root$GRID" "$bin" "$root$directory" "$root$directory"/{control,session}
chmod 1777 "$root$directory/tmp"
install -m 755 "$HERE"/arex-{init,frontend,bake}.sh "$bin/"

for script in arc-arex-start arc-arex-ws-start; do
    sed -e 's#^validate >> .*#RETVAL=0; true#' \
        -e 's#/bin/bash -c "umask 0177 ; openssl dhparam.*#true#' -e 's#openssl dhparam -in.*#true#' \
        -e 's#dhparam_xml="<DHParam.*#dhparam_xml=""#' \
        -e "s#<arex:gmconfig>\\\$ARC_RUNTIME_CONFIG</arex:gmconfig>#&<arex:InfoproviderWakeupPeriod>$period</arex:InfoproviderWakeupPeriod>#" \
        -e 's#<tcp:Listen><tcp:Port>#<tcp:Listen><tcp:Interface>127.0.0.1</tcp:Interface><tcp:Port>#' \
        -e 's#^ *ulimit .*#:#' \
        -e 's#^exec \$CMD.*#mv "$AREX_CONFIG" "$BAKED.xml"; export -p | grep -E " (X509_|ARC_|GLOBUS_|HOSTNAME|TMPDIR|MALLOC)" >"$BAKED.env"#' \
        "$root/usr/share/arc/$script" >"$bin/$script"
    chmod 755 "$bin/$script"
done
# namespace.sh puts this over the package's scanner of fork jobs, which sleeps 10 s between two passes.
sed 's/^sleep 10$/sleep 1/' "$root/usr/share/arc/scan-fork-job" >"$bin/scan-fork-job"
chmod 755 "$bin/scan-fork-job"

cat >"$root$directory/arc.conf" <<EOF
[common]
hostname = localhost
x509_host_key = $GRID/certs/host-key.pem
x509_host_cert = $GRID/certs/host-cert.pem
x509_cert_dir = $GRID/certs/ca
x509_voms_dir = $GRID/certs/vomsdir
voms_processing = standard

[authgroup:prod]
voms = atlas * production *

[authgroup:atlas]
voms = atlas * * *

[authgroup:users]
file = $GRID/certs/allowed-subjects

# subject, issuer, audience, scope, group of bearer tokens
[authgroup:tokens]
authtokens = * $TOKEN_ISSUER https://localhost:$port compute.create *

[mapping]
map_to_user = prod gridprod:gridprod
map_to_user = atlas gridatlas:gridatlas
map_to_user = users gridother:gridother
map_to_user = tokens gridprod:gridprod

[lrms]
lrms = fork

[arex]
controldir = $directory/control
sessiondir = $directory/session
logfile = $directory/log/arex.log
joblog = $directory/log/arex-jobs.log
helperlog = $directory/log/job.helper.errors
pidfile = $directory/run/arched-arex.pid
tmpdir = $directory/tmp
wakeupperiod = 2
infoproviders_timelimit = 60
maxjobs = 20000 20 20000 -1 4
loglevel = 3

[arex/data-staging]
logfile = $directory/log/datastaging.log

[arex/ws]
wsurl = https://localhost:$port/arex
logfile = $directory/log/ws-interface.log
pidfile = $directory/run/arched-arex-ws.pid

[arex/ws/jobs]
allowaccess = prod
allowaccess = atlas
allowaccess = users
allowaccess = tokens

[infosys]
logfile = $directory/log/infoprovider.log
loglevel = 2

[infosys/glue2]

[infosys/cluster]
alias = $name

[queue:fork]
comment = fork queue

[queue:long]
comment = second queue of the same fork lrms
EOF
unshare --mount --pid --fork --kill-child=KILL "$HERE/namespace.sh" "$name" "$GRID/bin/arex-bake.sh" \
    >"$GRID/logs/$name-bake.log" 2>&1 || fail "cannot bake $name, see $GRID/logs/$name-bake.log"
for baked in arex ws; do [ -s "$root$directory/$baked.xml" ] || fail "$name: no $baked.xml was made"; done
echo "$port" >"$GRID/ports/$name"
echo "$wanted" >"$root$directory/configured"
