"""Chains of certificates, as the tower judges them."""

from __future__ import annotations

import time

from act.authorities import Authorities
from act.x509chain import Chain, verify
from tests.people import People, Proxy

ALICE = "/O=Grid/O=aCT/CN=alice"


def check(people: People, proxy: Proxy) -> Chain:
    """Raises as `verify`, which has the CA directory of these people."""
    return verify(proxy.certificates, Authorities(people.ca_dir), time.time())
