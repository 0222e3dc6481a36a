"""HTTPS with one server: connections kept, the peer verified, and a total deadline on every call."""

from __future__ import annotations

import ssl
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore
import httpx

from act.errors import ConfigError, CredentialError, SourceUnreachable
from act_atlas.panda.client import PandaServer

KEEPALIVE_S = 4.0  # shorter than the 5 s after which Apache closes idle connections by default
CONNECTIONS = 32
LARGEST_ANSWER = 256 << 20
WRITE_PIECE = 1 << 16
_CREDENTIAL_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "UNSUPPORTED_CERT")


class Http:
    """One server, one credential, a pool of connections; may be shared by threads."""

    def __init__(self, server: PandaServer) -> None:
        headers = {"Accept-Encoding": "identity", "User-Agent": "aCT"}
        if server.token:
            headers |= {"Authorization": f"Bearer {server.token}", "Origin": server.origin}
        timeout = httpx.Timeout(server.read_s, connect=server.connect_s, pool=server.total_s)
        transport = _DeadlineTransport(_context(server), server.total_s)
        self._url = server.url.rstrip("/")
        self._client = httpx.Client(transport=transport, headers=headers, timeout=timeout, trust_env=False)

    def call(
        self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: bytes = b"",
        content_type: str = "", accept: str = "application/json",
    ) -> bytes:  # fmt: skip
        """The body of a 200 answer. Raises SourceUnreachable and CredentialError."""
        headers = {"Accept": accept, **({"Content-Type": content_type} if content_type else {})}
        try:
            response = self._client.request(method, self._url + path, params=list(query), content=body, headers=headers)
        except httpx.InvalidURL as e:
            raise ConfigError(f"PanDA server's URL {self._url} is none: {e}") from e
        if response.status_code == 200:
            return response.content
        text = response.content[:500].decode("utf-8", "replace").strip()
        what = f"{self._url}{path}: HTTP {response.status_code} {text}"
        if response.status_code in (401, 403) and "forbidden" not in text:
            raise CredentialError(what)
        hint = " (is the right protocol configured?)" if response.status_code == 403 else ""
        raise SourceUnreachable(what + hint)

    def close(self) -> None:
        """Give back connections."""
        self._client.close()


def _context(server: PandaServer) -> ssl.SSLContext:
    if not server.ca_dir.is_dir():
        raise ConfigError(f"CA directory {server.ca_dir} is not there: install the CA certificates or correct the path")
    context = ssl.create_default_context(capath=str(server.ca_dir))
    if server.proxy_pem:
        with tempfile.NamedTemporaryFile() as f:  # 0600; OpenSSL reads chains from files only
            f.write(server.proxy_pem)
            f.flush()
            try:
                context.load_cert_chain(f.name)
            except ssl.SSLError as e:
                raise CredentialError(f"the proxy for PanDA is unusable (certificate, key and chain?): {e}") from e
    return context


class _DeadlineTransport(httpx.BaseTransport):
    """Transport whose calls end in time, whatever the peer does, and whose errors are the tower's."""

    def __init__(self, context: ssl.SSLContext, total_s: float) -> None:
        self._total_s = total_s
        self._deadline = _Deadline()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS,
            keepalive_expiry=KEEPALIVE_S, network_backend=_Backend(self._deadline),
        )  # fmt: skip

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and receive the whole answer."""
        self._deadline.at = time.monotonic() + self._total_s
        try:
            with self._pool.stream(
                request.method, str(request.url), headers=request.headers.raw, content=request.read(),
                extensions={"timeout": request.extensions["timeout"]},
            ) as answer:  # fmt: skip
                return httpx.Response(answer.status, headers=answer.headers, content=_limited(answer.iter_stream()))
        except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as e:
            raise SourceUnreachable(_say(request, e), sent=False) from e
        except httpcore.UnsupportedProtocol as e:
            raise ConfigError(_say(request, e)) from e
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as e:
            if any(word in str(e) for word in _CREDENTIAL_ALERTS):
                raise CredentialError(f"{_say(request, e)}: PanDA does not take our certificate") from e
            raise SourceUnreachable(_say(request, e)) from e

    def close(self) -> None:
        self._pool.close()


def _limited(pieces: Iterable[bytes]) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise httpcore.RemoteProtocolError(f"answer exceeds {LARGEST_ANSWER} bytes")
    return bytes(body)


def _say(request: httpx.Request, error: Exception) -> str:
    return f"{request.method} {request.url.copy_with(query=None)}: {type(error).__name__} {error}".rstrip()


class _Deadline(threading.local):
    """When the call of this thread must end, by the monotonic clock."""

    at: float = 0.0

    def left(self, timeout: float | None, error: type[httpcore.TimeoutException]) -> float:
        """How long a single wait may be."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise error("total deadline of the call is over")
        return min(left, timeout) if timeout is not None else left


class _Stream(httpcore.NetworkStream):
    """A connection whose waits end with the deadline of the call it serves."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), WRITE_PIECE):
            piece = buffer[start : start + WRITE_PIECE]
            self._inner.write(piece, self._deadline.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    """Opens connections that know the deadline."""

    def __init__(self, deadline: _Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options), self._deadline)
