"""The port to the server: calls that end in time, verified TLS, repeats of what may be repeated, errors for users."""

from __future__ import annotations

import json
import os
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from act import __version__
from act.cli.user.errors import NotAuthenticated, Refused, Unreachable
from act.errors import ConfigError, CredentialError, SourceUnreachable
from act.https import LARGEST_ANSWER, StreamingTransport

CONNECT_S = 10.0
WAIT_S = 60.0  # for the next bytes
CALL_S = 60.0  # of a whole call, beside what it may wait and what its bodies take
SLOWEST = 20_000  # bytes per second that a transfer must make
TRIES = 4
GRID_CAS = Path("/etc/grid-security/certificates")
_LOGIN = "run 'actcli proxy' (or 'actcli login' with a token)"


@dataclass(frozen=True, slots=True)
class Call:
    """One request. path: below the API's root; body: sent as JSON; content: a body of ``size`` bytes instead.

    content is called for each try. repeat: whether doing it twice is as good as once. wait_s: until the answer begins.
    """

    method: str
    path: str
    params: Mapping[str, str] | None = None
    body: Any = None
    content: Callable[[], Iterator[bytes]] | None = None
    size: int = 0
    headers: Mapping[str, str] | None = None
    repeat: bool = False
    wait_s: float = WAIT_S

    def total_s(self, answer: int = 0) -> float:
        """How long all of it may take, with an answer of so many bytes."""
        return CALL_S + self.wait_s + (self.size + answer) / SLOWEST


class Transport:
    """Connections to one server, as one user; may be used by several threads.

    All methods raise NotAuthenticated, Refused for an answer that says no, Unreachable when there is no usable one.
    """

    def __init__(self, server: str, token: str = "", ca: Path | None = None, source: str = "") -> None:
        """source: where the token came from, for messages. Raises ConfigError if the CAs cannot be read."""
        self.server = server
        self._source = source
        headers = {"User-Agent": f"actcli/{__version__}"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._client = httpx.Client(
            base_url=f"{server}/api/v1/", headers=headers, trust_env=False,
            transport=StreamingTransport(_context(ca), CALL_S),
        )  # fmt: skip

    def close(self) -> None:
        """Give back connections."""
        self._client.close()

    def object(self, call: Call) -> dict[str, Any]:
        """The JSON object that the server answers."""
        body = self.send(call)
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unreachable(
                f"{self.server} answered {call.method} {call.path} with something else than a JSON object: is it the "
                "URL of a tower's web server?"
            )
        return found

    def send(self, call: Call) -> bytes:
        """The body of the answer."""
        for attempt in range(1, TRIES + 1):
            try:
                with self._answer(call, call.total_s()) as answer:
                    return _whole(answer)
            except Unreachable as error:
                if attempt == TRIES or not (call.repeat or not error.sent):
                    raise
                time.sleep(random.uniform(0.5, 1) * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def stream(self, call: Call, size: int) -> AbstractContextManager[httpx.Response]:
        """An answer to be read piece by piece, of about ``size`` bytes; tried once."""
        return self._answer(call, call.total_s(size))

    @contextmanager
    def _answer(self, call: Call, total_s: float) -> Iterator[httpx.Response]:
        headers = dict(call.headers or {})
        if call.content is not None:
            headers["Content-Length"] = str(call.size)
        request = self._client.build_request(
            call.method, call.path, params=call.params, json=call.body, headers=headers,
            content=call.content() if call.content is not None else None, extensions={"total_s": total_s},
            timeout=httpx.Timeout(call.wait_s, connect=CONNECT_S),
        )  # fmt: skip
        try:
            answer = self._client.send(request, stream=True)
            try:
                if answer.status_code >= 300:
                    self._refuse(answer)
                yield answer
            finally:
                answer.close()
        except SourceUnreachable as error:
            raise self._unreachable(error) from error
        except (NotAuthenticated, ConfigError):
            raise
        except CredentialError as error:
            raise Unreachable(str(error)) from error

    def _refuse(self, answer: httpx.Response) -> None:
        """Raise what an answer other than success means."""
        detail, code = _problem(answer)
        status = answer.status_code
        if status == 401:
            told = f" (the token in {self._source})" if self._source else ""
            advice = "" if "actcli" in detail else f": {_LOGIN}"
            raise NotAuthenticated(f"{detail or 'the server does not know you'}{told}{advice}")
        if status in (429, 502, 503, 504) or (status >= 500 and not detail):
            raise Unreachable(f"{self.server} cannot serve now ({status}{f': {detail}' if detail else ''})")
        if status < 400 or (status == 404 and not code):
            raise Unreachable(
                f"{self.server} has no such service ({status} for {answer.request.url.path}): is it the URL of a "
                "tower's web server?"
            )
        raise Refused(detail or f"the server refused with {status}", status=status, code=code)

    def _unreachable(self, error: SourceUnreachable) -> Unreachable:
        text = str(error)
        if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
            reason = text.rpartition("certificate verify failed: ")[2].partition(" (_ssl")[0]
            return Unreachable(
                f"the certificate of {self.server} is not trusted ({reason}): name the CA it should be verified "
                "against with --ca FILE-OR-DIRECTORY (or ACTCLI_CA, or 'ca' in the configuration)",
                sent=False,
            )
        said = text.partition(": ")[2] or text
        return Unreachable(f"{self.server} gives no answer ({said}): is the URL right and the server up?",
                           sent=error.sent)  # fmt: skip


def _whole(answer: httpx.Response) -> bytes:
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise Unreachable(f"the answer exceeds {LARGEST_ANSWER} bytes")
    return bytes(body)


def _problem(answer: httpx.Response) -> tuple[str, str]:
    """What an RFC 9457 body says: detail and code; empty if it is something else."""
    try:
        told = json.loads(_whole(answer))
    except ValueError:
        return "", ""
    if not isinstance(told, dict):
        return "", ""
    return str(told.get("detail") or told.get("title") or ""), str(told.get("code") or "")


def _context(ca: Path | None) -> ssl.SSLContext:
    """Whom we trust: the CAs named, or else those of the system ($SSL_CERT_FILE) and of grid software
    ($X509_CERT_DIR)."""
    if ca is not None:
        if not ca.exists():
            raise ConfigError(f"the CA file or directory {ca} is not there")
        try:
            if ca.is_dir():
                return ssl.create_default_context(capath=str(ca))
            return ssl.create_default_context(cafile=str(ca))
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"{ca} holds no CA certificate in PEM: {error}") from error
    context = ssl.create_default_context()
    grid = Path(os.environ.get("X509_CERT_DIR") or GRID_CAS)
    if grid.is_dir():
        context.load_verify_locations(capath=str(grid))
    return context
