#!/bin/bash
# condor-configure.sh NAME: write the configuration of one complete HTCondor pool (master, collector, negotiator,
# schedd, startd) on a loopback port, in $GRID/NAME of the chroot.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name=$1
check_name "$name"
port=${PORT[$name]}
directory=$GRID/$name
inside=$CHROOT$directory

wanted="port=$port $(cat "$HERE"/condor-*.sh "$GRID/certs/tokenissuer/scitokens_cpp.sqllite" | sha256sum)"
[ "$(cat "$inside/configured" 2>/dev/null)" != "$wanted" ] || exit 0

say "$name: HTCondor on port $port"
"$HERE/svc.sh" stop "$name"
rm -f "$inside/configured"
mkdir -p "$inside"/{log,spool,execute,lock,run,tokens.d,passwords.d} "$CHROOT$GRID/bin" "$GRID/condor-client"
chroot "$CHROOT" chown condor:condor "$directory"/{log,spool,execute,lock,run}
chmod 755 "$CHROOT$GRID" "$inside" "$inside/execute"
chmod 1777 "$inside/log"
chmod 700 "$inside"/{passwords.d,tokens.d} "$GRID/condor-client"
install -d -m 700 "$inside"/tokencache{,/scitokens}
install -m 600 "$GRID/certs/tokenissuer/scitokens_cpp.sqllite" "$inside/tokencache/scitokens/"
chroot "$CHROOT" chown -R condor:condor "$directory/tokencache"
# One signing key for all pools: a token is good at each.
[ -s "$GRID/condor-client/POOL" ] || (umask 077; head -c 48 /dev/urandom | base64 >"$GRID/condor-client/POOL")
install -m 600 "$GRID/condor-client/POOL" "$inside/passwords.d/POOL"
install -m 755 "$HERE/condor-init.sh" "$CHROOT$GRID/bin/"
cat >"$inside/condor_config" <<EOF
RELEASE_DIR = /usr
LOCAL_DIR = $directory
LOG = $directory/log
SPOOL = $directory/spool
EXECUTE = $directory/execute
LOCK = $directory/lock
RUN = $directory/run
BIN = /usr/bin
SBIN = /usr/sbin
LIB = /usr/lib/condor
LIBEXEC = /usr/libexec/condor
SHARE = /usr/share/condor
ETC = $directory
LOCAL_CONFIG_FILE =
LOCAL_CONFIG_DIR =
REQUIRE_LOCAL_CONFIG_FILE = false

DAEMON_LIST = MASTER, COLLECTOR, NEGOTIATOR, SCHEDD, STARTD
USE_SHARED_PORT = True
SHARED_PORT_PORT = $port
DAEMON_SOCKET_DIR = $directory/lock/daemon_sock
COLLECTOR_HOST = 127.0.0.1:$port
CONDOR_HOST = 127.0.0.1
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
HOST_ALIAS = localhost
FULL_HOSTNAME = localhost
NO_DNS = False
UID_DOMAIN = grid.test
FILESYSTEM_DOMAIN = grid.test
TRUST_DOMAIN = grid.test
TRUST_UID_DOMAIN = True
SCHEDD_NAME = $name@grid.test
COLLECTOR_NAME = $name

# Security: FS inside the chroot; pool tokens (IDTOKENS), bearer tokens (SCITOKENS) and proxies (SSL) from outside.
# Who is none of us may not even read.
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, IDTOKENS, SCITOKENS, SSL
SEC_CLIENT_AUTHENTICATION_METHODS = FS, IDTOKENS
SEC_DEFAULT_ENCRYPTION = OPTIONAL
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_PASSWORD_DIRECTORY = $directory/passwords.d
SEC_TOKEN_SYSTEM_DIRECTORY = $directory/tokens.d
SEC_TOKEN_POOL_SIGNING_KEY_FILE = $directory/passwords.d/POOL
AUTH_SSL_SERVER_CERTFILE = $GRID/certs/host-cert.pem
AUTH_SSL_SERVER_KEYFILE = $GRID/certs/host-key.pem
AUTH_SSL_SERVER_CADIR = $GRID/certs/ca
AUTH_SSL_SERVER_USE_DEFAULT_CAS = False
AUTH_SSL_ALLOW_CLIENT_PROXY = True
SCITOKENS_SERVER_AUDIENCE = localhost:$port
SEC_SCITOKENS_CACHE = $directory/tokencache
CERTIFICATE_MAPFILE = $directory/mapfile
CERTIFICATE_MAPFILE_ASSUME_HASH_KEYS = True
ALLOW_READ = *@grid.test
ALLOW_WRITE = *@grid.test
ALLOW_ADMINISTRATOR = root@grid.test condor@grid.test admin@grid.test
ALLOW_DAEMON = root@grid.test condor@grid.test
ALLOW_NEGOTIATOR = root@grid.test condor@grid.test
ALLOW_ADVERTISE_MASTER = root@grid.test condor@grid.test
ALLOW_CLIENT = *
QUEUE_SUPER_USERS = root, condor

# Proxies of jobs are copied: delegation fails with Debian's OpenSSL, which refuses the version of HTCondor's request.
DELEGATE_JOB_GSI_CREDENTIALS = False

# Speed and size for tests.
NUM_CPUS = 16
MEMORY = 65536
NUM_SLOTS = 1
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
START = True
SUSPEND = False
PREEMPT = False
KILL = False
BASE_CGROUP =
CGROUP_POLLING_INTERVAL = 0
STARTD_CRON_JOBLIST =
SCHEDD_CRON_JOBLIST =
JOB_DEFAULT_REQUESTMEMORY = 64
JOB_DEFAULT_REQUESTDISK = 1024
NEGOTIATOR_INTERVAL = 5
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 5
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 20
POLLING_INTERVAL = 2
PERIODIC_EXPR_INTERVAL = 5
MAX_PERIODIC_EXPR_INTERVAL = 5
MASTER_BACKOFF_CONSTANT = 1
SHUTDOWN_GRACEFUL_TIMEOUT = 5
ENABLE_USERLOG_FSYNC = False
CONDOR_FSYNC = False
RUNBENCHMARKS = False
USE_PROCD = False
# Each is started with every job to ask what it can, and most are Python: they cost more than the tests' jobs.
FILETRANSFER_PLUGINS = \$(LIBEXEC)/curl_plugin
MAX_DEFAULT_LOG = 5 Mb
MAIL = /bin/true

# Grid universe.
GRIDMANAGER_JOB_PROBE_INTERVAL = 3
GRIDMANAGER_RESOURCE_PROBE_INTERVAL = 5
CONDOR_JOB_POLL_INTERVAL = 3
GRIDMANAGER_CONTACT_SCHEDD_DELAY = 1
C_GAHP_CONTACT_SCHEDD_DELAY = 1
GRIDMANAGER_EMPTY_RESOURCE_DELAY = 60
GRIDMANAGER_MAX_SUBMITTED_JOBS_PER_RESOURCE = 1000
GRIDMANAGER_CHECKPROXY_INTERVAL = 60
GRIDMANAGER_LOG = $directory/log/GridmanagerLog.\$(USERNAME)
C_GAHP_LOG = $directory/log/CGAHPLog.\$(USERNAME)
C_GAHP_WORKER_THREAD_LOG = $directory/log/CGAHPWorkerLog.\$(USERNAME)
CONDOR_GAHP = \$(SBIN)/condor_c-gahp
C_GAHP = \$(SBIN)/condor_c-gahp
ARC_GAHP = \$(SBIN)/arc_gahp
ARC_GAHP_COMMAND_LIMIT = 10
GRIDMANAGER = \$(SBIN)/condor_gridmanager
ENABLE_GRID_MONITOR = False
EOF
cat >"$inside/mapfile" <<EOF
SCITOKENS "$TOKEN_ISSUER,robot" gridprod@grid.test
SSL /^.O=Grid.O=aCT.CN=bob\$/ gridatlas@grid.test
SSL /^.O=Grid.O=aCT.CN=alice\$/ gridprod@grid.test
EOF
chmod 644 "$inside/mapfile"
chmod 644 "$inside/condor_config" # the gridmanager reads it as the user
echo "$port" >"$GRID/ports/$name"
echo "$wanted" >"$inside/configured"
