"""The HTTP client that is handed to pyarcrest: one connection, verified TLS, deadlines, no request sent twice.

pyarcrest's own client has no timeouts, does not verify the CE, sends POSTs again after a disconnect and leaks
headers between clients. This one has the same ``request`` method, and raises only errors of the tower.
"""

from __future__ import annotations

import http.client
import json
import select
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlencode, urlsplit

from act.errors import CEBroken, CEUnreachable, ConfigError, CredentialError, StorageUnavailable
from act.model import CEAddress
from act_arc.sockets import DeadlineSocket, client_context, connect, refuses_us

Body = bytes | Iterable[bytes] | None
MAX_ANSWER = 64 * 1024 * 1024  # bytes; the status of 5000 jobs takes about 0.5 MiB, the list of 100,000 jobs 7 MiB
_CHUNK = 256 * 1024
# A connection that was idle for longer may be closed by the CE at any moment, so a POST does not go out on it.
_FRESH_S = 20.0
# The reason phrase with which every A-REX tells a user it does not map, with status 403 (6.x) or 500 (7.0).
_NOT_MAPPED = "can't be assigned configuration"


@dataclass(frozen=True)
class Answer:
    """A complete answer, as pyarcrest reads it."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes

    def read(self) -> bytes:
        """The whole body."""
        return self.body

    def getheader(self, name: str) -> str | None:
        """One header field, or None."""
        return self.headers.get(name)


class Transport:
    """One connection to one CE with one credential, a proxy or a bearer token; used by one thread.

    All requests inside ``with transport.within(seconds)`` together end in that time. Raises CEUnreachable (with
    sent=False only if the CE cannot have seen the request), CEBroken for an answer that is no use as a whole, and
    CredentialError if the CE does not let us in. An answer of 200-299, 404 or another 4xx is returned.
    """

    def __init__(self, address: CEAddress, proxy_pem: bytes, token: str = "") -> None:
        parts = urlsplit(address.url)
        if parts.scheme != "https" or not parts.hostname:
            raise ConfigError(f"the URL of an ARC CE is https://host:port/path, not {address.url}")
        self._address = address
        self._host, self._port = parts.hostname, parts.port or 443
        self._context = client_context(address.ca_dir, None if token else proxy_pem)
        self._identification = {"Authorization": f"Bearer {token}"} if token else {}
        self._http: http.client.HTTPConnection | None = None
        self._socket: DeadlineSocket | None = None
        self._used = 0.0
        self._deadline = 0.0

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """All requests made inside end before ``seconds`` are over."""
        self._deadline = time.monotonic() + seconds
        yield

    def request(
        self,
        method: str,
        endpoint: str,
        headers: Mapping[str, str] | None = None,
        token: None = None,
        jsonData: object = None,
        data: str | bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request and its complete answer; pyarcrest calls this by position and by these names.

        token: pyarcrest's own, of which it has none here.
        """
        fields = dict(headers or {})
        body = data.encode() if isinstance(data, str) else data
        if jsonData:
            body = json.dumps(jsonData).encode()
            fields["Content-Type"] = "application/json"
        url = f"{endpoint}?{urlencode(params)}" if params else endpoint
        with self._exchange(method, url, fields, body) as response:
            content = response.read(MAX_ANSWER + 1)
            if len(content) > MAX_ANSWER:
                raise CEBroken(f"CE {self._host}: the answer to {method} {url} is longer than {MAX_ANSWER} bytes")
            _check_complete(response)
        answer = Answer(response.status, response.reason, response.headers, content)
        return self._judged(answer, method, url)

    def download(self, endpoint: str, out: BinaryIO) -> tuple[Answer, int]:
        """GET a file straight into ``out``, if the status is 200: the answer without body, and the file's size."""
        size, content = 0, b""
        with self._exchange("GET", endpoint, {}, None) as response:
            if response.status == 200:
                while chunk := response.read(_CHUNK):
                    _store(chunk, out)
                    size += len(chunk)
                _check_complete(response)
            else:
                content = response.read(_CHUNK)
        answer = Answer(response.status, response.reason, response.headers, content)
        return self._judged(answer, "GET", endpoint), size

    def upload(self, endpoint: str, chunks: Iterable[bytes], size: int) -> Answer:
        """PUT ``size`` bytes that come in chunks; what their source raises ends the request."""
        with self._exchange("PUT", endpoint, {"Content-Length": str(size)}, chunks) as response:
            content = response.read(_CHUNK)
        return self._judged(Answer(response.status, response.reason, response.headers, content), "PUT", endpoint)

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._http is not None:
            self._http.close()
        self._http = self._socket = None

    @contextmanager
    def _exchange(
        self, method: str, url: str, headers: dict[str, str], body: Body
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request, give its response to be read, keep the connection only if all went well."""
        response = None
        done = False
        try:
            response = self._send(method, url, headers, body)
            if response.length is None and not response.chunked:
                raise CEBroken(f"CE {self._host}: the answer to {method} {url} does not tell its length")
            yield response
            done = response.isclosed() and not response.will_close
        except (OSError, http.client.IncompleteRead, http.client.NotConnected) as e:  # NotConnected: given up by others
            raise self._translated(e, method, url) from e
        except (http.client.HTTPException, ValueError) as e:
            raise CEBroken(f"CE {self._host}: the answer to {method} {url} is not HTTP: {e!r}") from e
        finally:
            self._used = time.monotonic()
            if response is not None:
                response.close()
            if not done:
                self.close()

    def _send(self, method: str, url: str, headers: dict[str, str], body: Body) -> http.client.HTTPResponse:
        """Send, and read the head of the answer; once more only for a GET on a connection that had gone stale."""
        reused = self._reusable(method)
        try:
            return self._send_once(method, url, headers, body)
        except (ConnectionError, ssl.SSLError):
            if not (reused and method == "GET"):
                raise
            self.close()
            return self._send_once(method, url, headers, body)

    def _send_once(self, method: str, url: str, headers: dict[str, str], body: Body) -> http.client.HTTPResponse:
        if self._http is None or self._socket is None:
            self._socket = connect(self._host, self._port, self._context, self._address.connect_s, self._deadline)
            self._socket.read_s = self._address.read_s
            self._http = http.client.HTTPConnection(self._host, self._port)
            self._http.auto_open = 0
            self._http.sock = self._socket
        self._socket.deadline = self._deadline
        self._http.request(method, url, body=body, headers=headers | self._identification)
        return self._http.getresponse()

    def _reusable(self, method: str) -> bool:
        """Whether there is a connection to use again; one that looks closed, or may be soon, is given up first."""
        if self._socket is None:
            return False
        stale = method != "GET" and time.monotonic() - self._used > _FRESH_S
        # Between two requests nothing can come from the CE but the end of the connection.
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if stale or poll.poll(0):
            self.close()
            return False
        return True

    def _translated(self, error: Exception, method: str, url: str) -> CEUnreachable | CredentialError:
        if refuses_us(error):
            return CredentialError(f"CE {self._host} does not accept our certificate: {error}")
        return CEUnreachable(f"CE {self._host}: no answer to {method} {url}: {str(error) or type(error).__name__}")

    def _judged(self, answer: Answer, method: str, url: str) -> Answer:
        what = f"CE {self._host} answered {method} {url} with {answer.status} {answer.reason}"
        if answer.status in (401, 403) or _NOT_MAPPED in answer.reason:
            raise CredentialError(what)
        if not (200 <= answer.status < 300 or 400 <= answer.status < 500):
            raise ServerError(f"{what} {answer.body[:500].decode(errors='replace')}".rstrip(), answer)
        return answer


class ServerError(CEBroken):
    """A complete answer whose status says that the CE failed, or that it wants us elsewhere."""

    def __init__(self, message: str, answer: Answer) -> None:
        super().__init__(message)
        self.answer = answer


def _check_complete(response: http.client.HTTPResponse) -> None:
    """http.client takes an early end of the connection for the end of the body, if told how much to read."""
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _store(chunk: bytes, out: BinaryIO) -> None:
    try:
        out.write(chunk)
    except OSError as e:
        raise StorageUnavailable(f"cannot keep a file from the CE: {e}") from e
