"""A server that speaks /api/v1 to actcli and cannot be trusted: it breaks connections, lies, and answers nonsense."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class BadTower:
    """What it tells. results: job -> file -> content. cut: bytes after which a download breaks off, as often as
    ``cuts`` says for each file; fewer each time, so that progress is made. digests: file -> what it says of it."""

    results: dict[int, dict[str, bytes]] = field(default_factory=dict)
    cut: int = 0
    cuts: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)  # path -> answer instead of the usual one
    url: str = ""
    cleaned: list[int] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)

    def jobs(self) -> dict[str, Any]:
        """All of them have ended."""
        return {"jobs": [{"id": i, "name": f"scan {i % 7}", "state": "done"} for i in self.results], "next": None}

    def files(self, job_id: int) -> dict[str, Any]:
        """Names, sizes and digests of a job's results."""
        found = [
            {"name": name, "size": len(data), "sha256": self.digests.get(name, hashlib.sha256(data).hexdigest())}
            for name, data in self.results[job_id].items()
        ]
        return {"files": found}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tower: BadTower

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).removeprefix("/api/v1/")
        self.tower.asked[path] += 1
        if path in self.tower.answers:
            self._send(*self.tower.answers[path])
        elif path == "jobs":
            self._send(200, json.dumps(self.tower.jobs()).encode())
        elif found := re.fullmatch(r"jobs/(\d+)/results", path):
            self._send(200, json.dumps(self.tower.files(int(found[1]))).encode())
        elif found := re.fullmatch(r"jobs/(\d+)/results/(.+)", path):
            self._file(path, self.tower.results[int(found[1])][found[2]])
        else:
            self._send(404, b"")

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = urlsplit(self.path).path.removeprefix("/api/v1/")
        if path in self.tower.answers:
            self._send(*self.tower.answers[path])
        elif path == "jobs/clean":
            self.tower.cleaned += wanted["ids"]
            done = {"jobs": [{"id": i, "state": "done"} for i in wanted["ids"]], "refused": []}
            self._send(200, json.dumps(done).encode())
        else:
            self._send(404, b"")

    def _file(self, path: str, data: bytes) -> None:
        start = 0
        if wanted := self.headers.get("Range"):
            self.tower.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        piece = data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        if self.tower.asked[path] <= self.tower.cuts:
            self.wfile.write(piece[: self.tower.cut])
            self.close_connection = True
        else:
            self.wfile.write(piece)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def bad_tower(**told: Any) -> Iterator[BadTower]:
    """One that listens on loopback."""
    tower = BadTower(**told)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"tower": tower}))
    server.daemon_threads = True
    tower.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield tower
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
