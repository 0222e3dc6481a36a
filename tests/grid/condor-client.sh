#!/bin/bash
# condor-client.sh: the host's side of HTCondor, in $GRID/condor-client: tokens signed with the pools' key and a
# configuration for the Python bindings (CONDOR_CONFIG=$GRID/condor-client/condor_config).
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

directory=$GRID/condor-client
mkdir -p "$directory/tokens.d"
chmod 700 "$directory" "$directory/tokens.d"
umask 077
for user in gridatlas gridprod root; do
    [ -s "$directory/$user.token" ] ||
        chroot "$CHROOT" env "CONDOR_CONFIG=$GRID/condorA/condor_config" \
            condor_token_create -identity "$user@grid.test" -lifetime 157680000 >"$directory/$user.token"
done
cp "$directory/gridatlas.token" "$directory/tokens.d/gridatlas"
cat >"$directory/condor_config" <<EOF
COLLECTOR_HOST = 127.0.0.1:$(port_of condorA)
NETWORK_INTERFACE = 127.0.0.1
ENABLE_IPV6 = False
UID_DOMAIN = grid.test
TRUST_DOMAIN = grid.test
FILESYSTEM_DOMAIN = grid.test
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_CLIENT_AUTHENTICATION_METHODS = IDTOKENS
SEC_TOKEN_DIRECTORY = $directory/tokens.d
SEC_DEFAULT_INTEGRITY = REQUIRED
LOCAL_CONFIG_FILE =
LOCAL_CONFIG_DIR =
LOG = /tmp
EOF
