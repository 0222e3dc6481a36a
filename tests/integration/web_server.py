"""``actctl web`` as a process of its own, over TLS or without it, on a port that it keeps when it is started again."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

START_S = 180.0  # on a busy machine
STOP_S = 60.0
PATIENCE_S = 60.0  # with the server; it answers in moments
ANY_PORT = "<bind>127.0.0.1:0</bind>"
LISTENING = re.compile(r"listening at (https?)://127\.0\.0\.1:(\d+)")


class WebServer:
    """The server of a configuration with `ANY_PORT` in it; a context manager that starts and stops it.

    program: what Python is to run, with ``web`` as its argument. environment: for its process, beside ours.
    """

    def __init__(
        self, config: Path, ca_cert: Path, *, program: Sequence[str] = ("-m", "act.cli"), **environment: str
    ) -> None:
        self._config, self._ca_cert, self._environment = config, ca_cert, environment
        self._program = program
        self.log = config.with_name("web.log")
        self._scheme, self.port = "https", 0
        self._open: list[socket.socket | http.client.HTTPSConnection] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> Self:
        """Start it and wait until it listens."""
        self.log.write_bytes(b"")
        environment = {**os.environ, "ACTCONFIGARC": str(self._config), **self._environment, **environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, *self._program, "web"], env=environment, stderr=log)
        end = time.monotonic() + START_S
        while not (found := LISTENING.search(self.said())):
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                self.process.wait()
                pytest.fail(f"no start: {self.said()}")
            time.sleep(0.05)
        self._scheme, self.port = found[1], int(found[2])
        fixed = ANY_PORT.replace(":0<", f":{self.port}<")
        self._config.write_text(self._config.read_text().replace(ANY_PORT, fixed))
        return self

    def restart(self, **environment: str) -> None:
        """Stop it, after the requests that are under way, and start it again."""
        assert self.stop() == 0
        self.start(**environment)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it with a signal; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def workers(self) -> list[int]:
        """The processes that serve."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def said(self) -> str:
        return self.log.read_text()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()
        if self.process is not None and self.process.poll() is None:
            self.stop()

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.port}"

    def connection(self) -> http.client.HTTPSConnection:
        """A connection with a generous time-out; closed by `drop`, like all."""
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.context(), timeout=PATIENCE_S)
        self._open.append(connection)
        return connection

    def raw(self) -> socket.socket:
        """A TCP connection."""
        sock = socket.create_connection(("localhost", self.port), timeout=PATIENCE_S)
        self._open.append(sock)
        return sock

    def tls(self) -> ssl.SSLSocket:
        """A connection to write anything to."""
        sock = self.context().wrap_socket(self.raw(), server_hostname="localhost")
        self._open.append(sock)
        return sock

    def drop(self) -> None:
        """Close all connections that were made."""
        while self._open:
            self._open.pop().close()

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._ca_cert))
