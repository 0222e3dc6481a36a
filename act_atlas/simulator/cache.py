"""The plain-HTTP port of the simulated PanDA: what worker nodes and CEs fetch without credentials."""

from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from act.simulation import Response
from act_atlas.simulator.board import Board
from act_atlas.simulator.server import file

log = logging.getLogger(__name__)


class CacheServer:
    """Serves wrapper, pilot and facts of queues on 127.0.0.1, as PanDA's cache does on a port of its own."""

    def __init__(self, board: Board, port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.board = board
        self.url = f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    board: Board


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._send(body=True)

    def do_HEAD(self) -> None:
        self._send(body=False)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def _send(self, *, body: bool) -> None:
        path = urlsplit(self.path).path  # A-REX names the whole URL in the request line
        found = file(self.server.board, path) or Response(404)
        content = found.body if isinstance(found.body, bytes) else b""
        self.send_response(found.status)
        for name, value in {**found.headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)
