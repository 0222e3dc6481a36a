"""HTTPS: whom we trust and what we show; for httpx clients a total deadline on every call and bounded answers.

All in errors of the tower.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpcore
import httpx

from act.errors import ConfigError, CredentialError, SourceUnreachable

KEEPALIVE_S = 4.0  # shorter than the 5 s after which Apache closes idle connections by default
CONNECTIONS = 32
LARGEST_ANSWER = 256 << 20
WRITE_PIECE = 1 << 16
_CREDENTIAL_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "UNSUPPORTED_CERT")


def client_context(ca_dir: Path, proxy_pem: bytes | None = None) -> ssl.SSLContext:
    """Trusts the CAs of ``ca_dir`` and shows the proxy, if there is one. Raises ConfigError, CredentialError."""
    if not ca_dir.is_dir():
        raise ConfigError(f"CA directory {ca_dir} is not there: install the CA certificates or correct the path")
    context = ssl.create_default_context(capath=str(ca_dir))
    if proxy_pem is not None:
        _show(context, proxy_pem)
    return context


def _show(context: ssl.SSLContext, proxy_pem: bytes) -> None:
    # The ssl module takes a certificate only by file name; this file lives in memory and has no name of its own.
    fd = os.memfd_create("proxy")
    try:
        with os.fdopen(os.dup(fd), "wb") as f:
            f.write(proxy_pem)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    except (ssl.SSLError, ValueError) as e:
        raise CredentialError(f"the proxy cannot be used (certificate, key and chain?): {e}") from e
    finally:
        os.close(fd)


class DeadlineTransport(httpx.BaseTransport):
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
        with _translated(request), self._pool.stream(
            request.method, str(request.url), headers=request.headers.raw, content=request.read(),
            extensions={"timeout": request.extensions["timeout"]},
        ) as answer:  # fmt: skip
            return httpx.Response(answer.status, headers=answer.headers, content=_limited(answer.iter_stream()))

    def close(self) -> None:
        self._pool.close()


class StreamingTransport(DeadlineTransport):
    """The same for bodies of any size, sent and received piece by piece, in the thread that makes the call.

    The request's extension ``total_s`` bounds that call, the reading of its answer included.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and receive the head of the answer."""
        self._deadline.at = time.monotonic() + request.extensions.get("total_s", self._total_s)
        with _translated(request):
            answer = self._pool.handle_request(
                httpcore.Request(
                    request.method, str(request.url), headers=request.headers.raw, content=request.stream,
                    extensions={"timeout": request.extensions["timeout"]},
                )
            )  # fmt: skip
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(request, answer))


class _Body(httpx.SyncByteStream):
    """The body of an answer as it comes, with the tower's errors."""

    def __init__(self, request: httpx.Request, answer: httpcore.Response) -> None:
        self._request, self._answer = request, answer

    def __iter__(self) -> Iterator[bytes]:
        with _translated(self._request):
            yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


@contextmanager
def _translated(request: httpx.Request) -> Iterator[None]:
    """Errors of the network in those of the tower."""
    try:
        yield
    except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as e:
        raise SourceUnreachable(_say(request, e), sent=False) from e
    except httpcore.UnsupportedProtocol as e:
        raise ConfigError(_say(request, e)) from e
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as e:
        if any(word in str(e) for word in _CREDENTIAL_ALERTS):
            raise CredentialError(f"{_say(request, e)}: the server does not take our certificate") from e
        raise SourceUnreachable(_say(request, e)) from e


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
