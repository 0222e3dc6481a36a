#!/bin/bash
# condor-client.sh: the host's side of HTCondor, in $GRID/condor-client: per user a token and a configuration that
# shows it, for the Python bindings (CONDOR_CONFIG=$GRID/condor-client/USER.config). The token of "stranger" is signed
# with a key that no pool has; proxy.config shows the proxy that X509_USER_PROXY names instead.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

directory=$GRID/condor-client
mkdir -p "$directory"
chmod 700 "$directory"
umask 077
make_token() { # make_token USER KEY-DIRECTORY
    chroot "$CHROOT" env "CONDOR_CONFIG=$GRID/condorA/condor_config" "_CONDOR_SEC_PASSWORD_DIRECTORY=$2" \
        "_CONDOR_SEC_TOKEN_POOL_SIGNING_KEY_FILE=$2/POOL" \
        condor_token_create -identity "$1@grid.test" -lifetime 157680000
}
write_config() { # write_config NAME METHOD [LINE...]
    cat >"$directory/$1.config" <<EOF
COLLECTOR_HOST = localhost:$(port_of condorA)
NETWORK_INTERFACE = 127.0.0.1
ENABLE_IPV6 = False
UID_DOMAIN = grid.test
TRUST_DOMAIN = grid.test
FILESYSTEM_DOMAIN = grid.test
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_INTEGRITY = REQUIRED
SEC_CLIENT_AUTHENTICATION_METHODS = $2
DELEGATE_JOB_GSI_CREDENTIALS = False
LOCAL_CONFIG_FILE =
LOCAL_CONFIG_DIR =
LOG = /tmp
$(printf '%s\n' "${@:3}")
EOF
}

strange=$GRID/condorA/strange
mkdir -p "$CHROOT$strange"
[ -s "$CHROOT$strange/POOL" ] || head -c 48 /dev/urandom | base64 >"$CHROOT$strange/POOL"
for user in gridatlas gridprod root stranger; do
    keys=$GRID/condorA/passwords.d
    if [ "$user" = stranger ]; then keys=$strange; fi
    mkdir -p "$directory/tokens/$user"
    [ -s "$directory/tokens/$user/token" ] || make_token "$user" "$keys" >"$directory/tokens/$user/token"
    write_config "$user" IDTOKENS "SEC_TOKEN_DIRECTORY = $directory/tokens/$user"
done
write_config proxy SSL "AUTH_SSL_CLIENT_CADIR = $GRID/certs/ca" "AUTH_SSL_CLIENT_USE_DEFAULT_CAS = False" \
    "AUTH_SSL_USE_CLIENT_PROXY_ENV_VAR = True"
ln -sf gridatlas.config "$directory/condor_config"
