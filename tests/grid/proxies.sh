#!/bin/bash
# proxies.sh: renew the proxies that are near their end.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
renew_credentials
