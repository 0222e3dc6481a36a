"""The web server, asked as people ask it: by its name, with its certificate verified."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from cryptography import x509

from act import faults
from act.config import CoreConfig
from act.config.web import Web
from act.doctor.check import Check, bad, good
from act.errors import SourceUnreachable
from act.https import DeadlineTransport, client_context

PATH = "/api/v1/health"
WILDCARDS = ("0.0.0.0", "[::]", "::")


class Peer:
    """The server at an address. Every call ends within total_s."""

    def __init__(self, url: str, ca_dir: Path, total_s: float) -> None:
        self._url = url
        self._client = httpx.Client(
            transport=DeadlineTransport(client_context(ca_dir), total_s), timeout=total_s, trust_env=False
        )

    def health(self) -> int:
        """The status of its answer. Raises SourceUnreachable."""
        try:
            return self._client.get(self._url + PATH).status_code
        finally:
            self._client.close()


def look(config: CoreConfig, total_s: float) -> Iterator[Check]:
    """Ask after its health."""
    url = address(config.web)
    todo = "'systemctl status act-web'; 'journalctl -u act-web' tells more"
    before = time.monotonic()
    try:
        status = faults.port("web", Peer(url, config.ca_dir, total_s), SourceUnreachable).health()
    except SourceUnreachable as error:
        yield bad("web server", str(error), todo)
        return
    if status == httpx.codes.OK:
        yield good("web server", f"{url} answers in {(time.monotonic() - before) * 1000:.0f} ms")
    else:
        yield bad("web server", f"{url}{PATH} answers {status}", todo)


def address(web: Web) -> str:
    """Where people find it: for all interfaces by the name in its certificate."""
    host, _, port = web.bind.rpartition(":")
    if web.certificate is None:
        return f"http://{host}:{port}"
    return f"https://{_certified(web.certificate) if host in WILDCARDS else host}:{port}"


def _certified(path: Path) -> str:
    """The first name in a certificate that is no pattern, else this host's."""
    certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return socket.getfqdn()
    names = [n for n in alternatives.get_values_for_type(x509.DNSName) if not n.startswith("*")]
    return names[0] if names else socket.getfqdn()
