"""TLS connections to a CE on which every single wait is bounded."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from act import https
from act.errors import CEUnreachable, CredentialError

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class DeadlineSocket(ssl.SSLSocket):
    """A TLS socket whose reads and writes each end within ``read_s``, and all of them before ``deadline``.

    Acknowledges at once what it reads: A-REX sends an answer in two parts and waits for the acknowledgement of the
    first, which the kernel would otherwise hold back for 40 ms.
    """

    deadline: float = 0.0  # monotonic
    read_s: float = 0.0

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """As the base class; http.client reads through this call only."""
        self._bound()
        if _QUICKACK is not None:
            self.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        """As the base class; sendall() is made of these."""
        self._bound()
        try:
            return super().send(data, flags)
        except (ssl.SSLError, ConnectionError):
            self._read_last_words()
            raise

    def _read_last_words(self) -> None:
        """Raise what the peer said before it closed, if that was that it does not want our certificate."""
        try:
            super().recv(1)
        except OSError as e:
            if refuses_us(e):
                raise

    def _bound(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's total time is over")
        self.settimeout(min(left, self.read_s))


def client_context(ca_dir: Path, proxy_pem: bytes | None) -> ssl.SSLContext:
    """A context whose sockets are bounded; see `act.https.client_context`."""
    context = https.client_context(ca_dir, proxy_pem)
    context.sslsocket_class = DeadlineSocket
    return context


def connect(host: str, port: int, context: ssl.SSLContext, connect_s: float, deadline: float) -> DeadlineSocket:
    """Look up, connect, shake hands; ``connect_s`` bounds each of the three, ``deadline`` (monotonic) all.

    Raises CEUnreachable with sent=False: no request can have been seen. CredentialError: the CE refuses the proxy.
    """
    where = f"{host}:{port}"
    try:
        raw = _open(host, port, lambda: _left(connect_s, deadline))
        try:
            raw.settimeout(_left(connect_s, deadline))
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = context.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise
    except ssl.SSLCertVerificationError as e:
        raise CEUnreachable(f"the certificate of CE {where} is bad: {e.verify_message}", sent=False) from e
    except OSError as e:
        if refuses_us(e):
            raise CredentialError(f"CE {where} does not accept our certificate: {e}") from e
        raise CEUnreachable(f"cannot connect to CE {where}: {e}", sent=False) from e
    assert isinstance(tls, DeadlineSocket)
    return tls


def refuses_us(error: Exception) -> bool:
    """Whether the peer ended TLS because of our certificate; TLS 1.3 tells that only with the first read."""
    reason = (getattr(error, "reason", None) or "") if isinstance(error, ssl.SSLError) else ""
    return "ALERT" in reason and ("CERT" in reason or "UNKNOWN_CA" in reason)


def _left(at_most: float, deadline: float) -> float:
    left = min(at_most, deadline - time.monotonic())
    if left <= 0:
        raise TimeoutError("the call's total time is over")
    return left


def _open(host: str, port: int, left: Callable[[], float]) -> socket.socket:
    """A TCP connection to the first address of host that takes one."""
    error: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in _look_up(host, port, left()):
        raw = socket.socket(family, kind, protocol)
        try:
            raw.settimeout(left())
            raw.connect(address)
        except OSError as e:
            raw.close()
            error = e
        else:
            return raw
    raise error


def _look_up(host: str, port: int, seconds: float) -> list[Any]:
    """getaddrinfo() within a time; it knows none itself, so a thread that may be left behind runs it."""
    answer: list[Any] = []

    def look_up() -> None:
        try:
            answer.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as e:
            answer.append(e)

    thread = threading.Thread(target=look_up, name=f"look-up {host}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not answer:
        raise TimeoutError("name look-up took too long")
    if isinstance(answer[0], OSError):
        raise answer[0]
    found: list[Any] = answer[0]
    return found
