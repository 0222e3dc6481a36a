"""A small HTTPS server that simulators of peers are built on: keep-alive, client certificates, faults, counters.

Steered over its own port, without a credential:
``POST /_sim/faults`` adds a rule, ``DELETE /_sim/faults`` removes all, ``GET /_sim/state`` tells what happened so far.
"""

from __future__ import annotations

import http
import json
import logging
import socket
import socketserver
import ssl
import struct
import tempfile
import threading
import time
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from act.simulation.ca import TestCA
from act.simulation.faults import Faults, Rule
from act.simulation.messages import Request, Response, identity

log = logging.getLogger(__name__)
IN_MEMORY = 4 << 20  # larger bodies wait in a temporary file
CHUNK = 1 << 16
HANDSHAKE_S = 10.0


class SimServer:
    """Base of a simulator: subclasses say in `handle` what they answer, and in `state` what they tell of themselves.

    Listens on 127.0.0.1 from `start` to `stop`, on ``port`` (0: a free one, kept for a later `start`).
    """

    base = ""  # path that `url` ends with
    ahead_s = 0.0  # by how much its clock is ahead, as far as its answers tell the date

    def __init__(self, ca: TestCA, *, port: int = 0, cert_expired: bool = False) -> None:
        self.faults = Faults()
        self.port = port
        self._context = _context(ca, cert_expired)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._live: set[ssl.SSLSocket] = set()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        """Where the simulator is."""
        return f"https://localhost:{self.port}{self.base}"

    def handle(self, request: Request) -> Response:
        """The answer to one request; called in many threads."""
        raise NotImplementedError

    def route(self, request: Request) -> str:
        """What requests are counted under, after the method."""
        return request.path

    def state(self) -> dict[str, Any]:
        """What `GET /_sim/state` tells besides "requests" and "faults"."""
        return {}

    def control(self, request: Request) -> Response:
        """The answer to another request below /_sim/."""
        return Response(404)

    def start(self) -> Self:
        """Listen and serve in the background."""
        self.stopping.clear()
        self._server = _Server(("127.0.0.1", self.port), self)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and cut all connections; what is being handled is finished, unanswered."""
        if self._server is None or self._thread is None:
            return
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = None
        with self._lock:
            for sock in self._live:
                _shutdown(sock)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def count(self, request: Request) -> None:
        """Count one request."""
        with self._lock:
            self._counts[f"{request.method} {self.route(request)}"] += 1

    def requests(self) -> dict[str, int]:
        """How many requests came, by method and route."""
        with self._lock:
            return dict(self._counts)

    def connected(self, sock: ssl.SSLSocket, alive: bool) -> None:
        """Remember or forget a connection."""
        with self._lock:
            (self._live.add if alive else self._live.discard)(sock)

    def steer(self, request: Request) -> Response:
        """The answer to a request below /_sim/."""
        what = (request.method, request.path)
        if what == ("GET", "/_sim/state"):
            return Response.json({"requests": self.requests(), "faults": self.faults.state(), **self.state()})
        if what == ("DELETE", "/_sim/faults"):
            self.faults.clear()
            return Response.json({})
        if what != ("POST", "/_sim/faults"):
            return self.control(request)
        try:
            return Response.json({"id": self.faults.add(json.loads(request.body))})
        except ValueError as e:
            return Response.json({"error": str(e)}, 400)


def _context(ca: TestCA, cert_expired: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*ca.host(expired=cert_expired))
    context.load_verify_locations(ca.ca_cert)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VerifyFlags.VERIFY_ALLOW_PROXY_CERTS
    return context


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], sim: SimServer) -> None:
        self.sim = sim
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        sock, address = super().get_request()
        # the handshake waits for the client, so it is left to the connection's own thread
        return self.sim._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), address

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # no shutdown first: a connection set to linger 0 is to end in a reset

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.exception("simulator failed on a request")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    connection: ssl.SSLSocket

    def setup(self) -> None:
        super().setup()
        self.sim = self.server.sim
        self.sim.connected(self.connection, True)

    def finish(self) -> None:
        self.sim.connected(self.connection, False)
        self.rfile.close()

    def handle(self) -> None:
        try:
            self._shake_hands()
            self.identity = identity(self.connection.getpeercert())
            super().handle()
        except (OSError, ValueError) as e:  # the client went away, spoke no TLS, or the server stops
            log.debug("connection ended: %s", e)

    def _shake_hands(self) -> None:
        """TLS, with a client that may not be trusted: it must be able to read so."""
        self.connection.settimeout(HANDSHAKE_S)
        try:
            self.connection.do_handshake()
        except ssl.SSLError:
            # what the client sends meanwhile is taken in, as closing over it would reset the connection and with it
            # drop the alert; past the TLS object, which is of no use any more
            socket.socket.shutdown(self.connection, socket.SHUT_WR)
            while socket.socket.recv(self.connection, CHUNK):
                pass
            raise
        self.connection.settimeout(None)

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request() or self.sim.stopping.is_set():
            self.close_connection = True
            return
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as stream:
            self._receive(stream)
            url = urlsplit(self.path)
            headers = {k.lower(): v for k, v in self.headers.items()}
            query = parse_qs(url.query, keep_blank_values=True)
            self._answer(Request(self.command, unquote(url.path), query, headers, stream, self.identity))

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def _receive(self, stream: Any) -> None:
        """Take the body, of announced length or chunked; an incomplete one ends the connection."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline(100).split(b";")[0], 16):
                self._copy(stream, size)
                self.rfile.readline(100)
            while self.rfile.readline(1000).strip():
                pass
        else:
            self._copy(stream, int(self.headers.get("Content-Length", 0)))
        stream.seek(0)

    def _copy(self, stream: Any, size: int) -> None:
        while size:
            data = self.rfile.read(min(size, CHUNK))
            if not data:
                raise ConnectionError("request body ended early")
            stream.write(data)
            size -= len(data)

    def _answer(self, request: Request) -> None:
        if request.path.startswith("/_sim/"):
            self._send(self.sim.steer(request))
            return
        self.sim.count(request)
        fault = self.sim.faults.strike(self.command, self.path)
        if fault is None:
            self._send(self._act(request))
        else:
            self._misbehave(fault, request)

    def _act(self, request: Request) -> Response:
        try:
            return self.sim.handle(request)
        except (OSError, ValueError) as e:  # not to be taken for the client's going away
            raise RuntimeError(f"simulator failed on {request.method} {request.path}") from e

    def _misbehave(self, fault: Rule, request: Request) -> None:
        wait, action = self.sim.stopping.wait, fault.action
        if action == "late":
            wait(fault.seconds)
        if action == "hang":
            wait(fault.seconds or None)
        if action in ("hang", "refuse"):
            self._reset()
            return
        response = Response() if action == "error-before" else self._act(request)
        if action == "delay":
            wait(fault.seconds)
        if action == "cut-after":
            self._reset()
            return
        if action in ("error-before", "error-after"):
            response = Response(fault.status)
        elif action == "garbage":
            response = Response(response.status, b"\x00\xff<html>" * 20, response.headers)
        elif action == "empty":
            response = Response(response.status, b"", response.headers)
        self._send(response, cut=action == "truncate")

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _send(self, response: Response, *, cut: bool = False) -> None:
        """Send an answer; with ``cut`` only half of the body that was announced."""
        body = response.body
        size = body.stat().st_size if isinstance(body, Path) else len(body)
        date = formatdate(time.time() + self.sim.ahead_s, usegmt=True)
        headers = {"Content-Length": str(size), "Date": date, **response.headers}
        if cut or self.close_connection:
            self.close_connection = True
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {response.status} {_reason(response)}", *(f"{k}: {v}" for k, v in headers.items())]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        left = size // 2 if cut else size
        if self.command == "HEAD":
            self.connection.sendall(head)
        elif isinstance(body, bytes):
            self.connection.sendall(head + body[:left])
        else:
            self.connection.sendall(head)
            self._send_file(body, left)

    def _send_file(self, path: Path, size: int) -> None:
        with path.open("rb") as f:
            while size and (data := f.read(min(CHUNK, size))):
                self.connection.sendall(data)
                size -= len(data)


def _reason(response: Response) -> str:
    try:
        return response.reason or http.HTTPStatus(response.status).phrase
    except ValueError:
        return "Unknown"


def _shutdown(sock: ssl.SSLSocket) -> None:
    """End a connection under the feet of the thread that uses it; the TLS object must stay usable for that thread."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError as e:
        log.debug("connection was gone: %s", e)
