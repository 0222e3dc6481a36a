"""proxy: makes the proxies of all configured roles and renews them in time."""

from __future__ import annotations

import logging
import time

from act import keys, x509
from act.config import ProxySource
from act.daemons.base import Daemon, Key
from act.daemons.context import Context
from act.db import credentials
from act.errors import CredentialError

log = logging.getLogger(__name__)

HOUR_S = 3600.0


class ProxyRenewal(Daemon):
    """A role whose proxy cannot be renewed keeps its old one, and the others go on."""

    kind = "proxy"

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        super().__init__(context, name, flavour)
        self._due = 0.0

    def work(self, lane: Key) -> int:
        if time.monotonic() < self._due:
            return 0
        config = self.context.config.proxies
        renewed = sum(self._renew(source) for source in config.proxy)
        self._due = time.monotonic() + config.check_s
        return renewed

    def _renew(self, source: ProxySource) -> int:
        row = self.db.read("proxy", lambda c: credentials.by_role(c).get(source.role))
        if row is not None and row.expires - time.time() > source.renew_below_h * HOUR_S and row.error is None:
            return 0
        try:
            pem, info = make(source)
            sealed = keys.seal(pem, self.context.config.proxies.key_file)
        except CredentialError as error:
            log.error("the proxy of role '%s' cannot be renewed: %s", source.role, error)
            why = str(error)
            self.db.run("proxy-error", lambda c: credentials.set_error(c, source.role, why))
            return 0
        if row is not None and row.error is None and info.expires <= row.expires + 60:
            return 0  # the source itself runs out: a new proxy would not live longer than the one in use
        self.db.run("proxy", lambda c: credentials.store(c, source.role, info.identity, sealed, info.expires))
        log.info("role '%s' has a new proxy, good for %.0f h", source.role, (info.expires - time.time()) / HOUR_S)
        return 1


def make(source: ProxySource) -> tuple[bytes, x509.ProxyInfo]:
    """A fresh proxy from a long-lived credential. Raises CredentialError with what to do."""
    key = source.source_key or source.source_cert
    try:
        cert_pem, key_pem = source.source_cert.read_bytes(), key.read_bytes()
    except OSError as error:
        raise CredentialError(
            f"{error.filename} cannot be read ({error.strerror}): it must belong to the account that runs act"
        ) from error
    try:
        pem = x509.make_proxy(cert_pem, key_pem, source.lifetime_h * HOUR_S)
        return pem, x509.read_proxy(pem)
    except CredentialError as error:
        raise CredentialError(f"{source.source_cert} with the key in {key}: {error}") from error
