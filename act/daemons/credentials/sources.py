"""The sources of credentials as configured: certificates, VOMS servers, directories, issuers of tokens."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from act import tokens, voms, x509
from act.config import CoreConfig, ProxySource, TokenSource
from act.daemons.credentials.voms_client import VomsClient
from act.errors import CredentialError

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class MadeProxy:
    """A proxy that has been checked. expires: of the proxy or of its attributes, whichever is sooner."""

    pem: bytes
    identity: str
    fqans: tuple[str, ...]
    expires: float


class Sources:
    """Gets a proxy or a token. Raises CredentialError with what to do, SourceUnreachable if a server is silent."""

    def __init__(self, config: CoreConfig) -> None:
        self._ca_dir, self._timeouts = config.ca_dir, config.timeouts
        self._voms = VomsClient(config.ca_dir, config.proxies.vomses, config.paths.state_dir, config.timeouts.call_s)

    def proxy(self, source: ProxySource) -> MadeProxy:
        """A fresh proxy for a role, or the one in the role's directory that lives longest."""
        if source.directory is not None:
            return _longest(source, source.directory)
        assert source.source_cert is not None, "the configuration has been checked"
        key = source.source_key or source.source_cert
        try:
            return _checked(source, self._make(source, source.source_cert, key))
        except CredentialError as error:
            raise CredentialError(f"{source.source_cert} with the key in {key}: {error}") from error

    def token(self, source: TokenSource) -> tokens.Token:
        """A token that has not expired."""
        if source.file is not None:
            return tokens.from_file(source.file)
        return tokens.from_issuer(source, self._ca_dir, self._timeouts)

    def _make(self, source: ProxySource, cert: Path, key: Path) -> bytes:
        cert_pem, key_pem = _read(cert), _read(key)
        lifetime_s = source.lifetime_h * HOUR_S
        if not source.voms:
            return x509.make_proxy(cert_pem, key_pem, lifetime_s)
        left_s = x509.end_of(cert_pem, key_pem) - time.time()
        if left_s <= 0:
            raise CredentialError("it has expired: renew it")
        return self._voms.make(cert, key, source.voms, source.fqan, min(lifetime_s, left_s))


def _longest(source: ProxySource, directory: Path) -> MadeProxy:
    """Among <role>.pem and <role>.*.pem; one that is half written, or not good, does not hide a good one."""
    paths = [directory / f"{source.role}.pem", *sorted(directory.glob(f"{source.role}.*.pem"))]
    found, wrong = [], []
    for path in paths:
        try:
            found.append(_checked(source, _read(path)))
        except CredentialError as error:
            wrong.append(f"{path}: {error}")
    if not found:
        raise CredentialError(f"no good proxy for role '{source.role}': {'; '.join(wrong)}")
    return max(found, key=lambda proxy: proxy.expires)


def _checked(source: ProxySource, pem: bytes) -> MadeProxy:
    """A proxy that is valid and has the attributes that the role must have."""
    info = x509.read_proxy(pem)
    if info.expires <= time.time():
        raise CredentialError("the proxy has expired: renew it")
    if not source.voms:
        return MadeProxy(pem, info.identity, (), info.expires)
    attributes = voms.check(pem, source.voms, source.fqan)
    return MadeProxy(pem, info.identity, attributes.fqans, min(info.expires, attributes.expires))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CredentialError(
            f"{path} cannot be read ({error.strerror}): it must belong to the account that runs act"
        ) from error
