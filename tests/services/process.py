"""What the real servers of tests have in common: a process and a directory of their own, both gone with the test."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

# Below the range of ephemeral ports, so that nobody is given the port during an outage.
PORTS = range(20500, 30000)


class ServerError(Exception):
    """A server cannot be installed, started or stopped, or refuses what the test wants."""


class Watchdog:
    """Ends a server and deletes its directory when the test process is gone: its end of the pipe closes."""

    SCRIPT = 'read -r _; kill -KILL "$1"; rm -rf "$2"'

    def __init__(self, pid: int, directory: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", self.SCRIPT, "watchdog", str(pid), str(directory)],
            stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def dismiss(self) -> None:
        """Before the server is ended: the watchdog must not outlive the pid that it guards."""
        self._process.kill()
        self._process.communicate()


class Server(ABC):
    """One server. The constructor makes its directory, start() runs it, close() removes all."""

    program: ClassVar[str]
    start_s: ClassVar[float] = 60.0
    stop_s: ClassVar[float] = 60.0

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None

    @abstractmethod
    def _command(self) -> list[str]:
        """What is run, once ``port`` is known."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server serves."""

    @property
    def pid(self) -> int | None:
        """The server's process, None when it does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def start(self) -> None:
        """Start the server, on what it had, and wait until it answers. No harm if it runs."""
        if self.pid is not None:
            return
        self.port = self.port or free_port()
        command = self._command()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.directory
            )
        self._watchdog = Watchdog(self._process.pid, self.directory)
        deadline = time.monotonic() + self.start_s
        while not self._answers():
            if self.pid is None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.program} does not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut the server down in order; what it has stays."""
        self.thaw()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server, as a crash would; what it has stays."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Keep the server from running: connections are made, stay open, and silent."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End a freeze."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server and delete what it has."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.pid is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._watchdog is not None:
            self._watchdog.dismiss()
            self._watchdog = None
        self._signal(number)
        try:
            self._process.wait(self.stop_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(self.stop_s)
            raise ServerError(f"{self.program} had to be killed after {self.stop_s} s") from None
        finally:
            self._process = None


def find(program: str) -> str | None:
    """Where a server's program is; those of the system are not always on the path."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerError("no free port")
