"""A private MariaDB server for tests: own data directory, own socket and port, ended with the test process.

with MariaDB() as server:
    server.create_database("act"); server.url("act")
    server.kill(); server.start()  # an outage: same data, socket and port
"""

import contextlib
import functools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
INSTALL_TIMEOUT_S = 120.0
PROBE_TIMEOUT_S = 2.0
# Below the range of ephemeral ports, so that nobody is given the port during an outage.
PORTS = range(20500, 30000)
INITIAL = (
    "--innodb-log-file-size=48M",
    "--innodb-data-file-path=ibdata1:12M:autoextend",
    "--innodb-undo-tablespaces=0",
)
SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--max-connections=500",
    "--transaction-isolation=READ-COMMITTED",
    "--character-set-server=utf8mb4",
    "--innodb-buffer-pool-size=256M",
    "--innodb-flush-log-at-trx-commit=2",  # a killed server loses nothing, only a killed machine does
)
# Ends the server and deletes its directory when the test process is gone: its end of the pipe closes.
WATCHDOG = 'read -r _; kill -KILL "$1"; rm -rf "$2"'


class MariaDBError(Exception):
    """The server cannot be installed, started or stopped, or refused a statement."""


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")


def _require(name: str) -> str:
    program = _program(name)
    if program is None:
        raise MariaDBError(f"no {name}: run tests/setup.sh")
    return program


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


@functools.cache
def _template() -> Path:
    """A fresh data directory to copy from; made once for each user and version, as it takes seconds."""
    mariadbd = _require("mariadbd")
    version = subprocess.run(
        [mariadbd, "--no-defaults", "--version"], capture_output=True, text=True, timeout=20
    ).stdout
    label = re.sub(r"[^0-9A-Za-z.+-]+", "_", version.partition("Ver ")[2].partition(" ")[0])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "act-tests"
    template = cache / f"mariadb-{label}-1"  # raise the last number when INITIAL changes
    if template.is_dir():
        return template
    cache.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="mariadb-", dir=cache))
    command = [
        _require("mariadb-install-db"), "--no-defaults", f"--datadir={made}", "--skip-test-db",
        "--auth-root-authentication-method=normal", *INITIAL, *_as_root(),
    ]  # fmt: skip
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
        )
        if result.returncode != 0:
            raise MariaDBError(f"mariadb-install-db failed: {(result.stdout + result.stderr)[-2000:]}")
        with contextlib.suppress(OSError):  # another process was first
            made.rename(template)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return template


class MariaDB:
    """One server. The constructor makes its directory, start() runs it, close() removes all."""

    def __init__(self) -> None:
        template = _template()
        self.directory = Path(tempfile.mkdtemp(prefix="act-mariadb-"))
        self.data = self.directory / "data"
        self.socket = self.directory / "socket"
        self.log = self.directory / "log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        shutil.copytree(template, self.data)

    @staticmethod
    def installed() -> str | None:
        """None when the server can be used, else the reason why not."""
        missing = [name for name in ("mariadbd", "mariadb-install-db", "mariadb") if _program(name) is None]
        return f"MariaDB is not installed (missing: {', '.join(missing)}): run tests/setup.sh" if missing else None

    @property
    def pid(self) -> int | None:
        """The server's process, None when it does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def start(self) -> None:
        """Start the server, on the data it had, and wait until it answers. No harm if it runs."""
        if self.pid is not None:
            return
        self.port = self.port or self._free_port()
        command = [
            _require("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}",
            f"--port={self.port}", f"--pid-file={self.directory}/pid", f"--tmpdir={self.directory}",
            *INITIAL, *SETTINGS, *_as_root(),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", str(self._process.pid), str(self.directory)],
            stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self.pid is None or time.monotonic() > deadline:
                self.kill()
                raise MariaDBError(f"mariadbd does not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut the server down in order; the data stay."""
        self.thaw()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server, as a crash would; the data stay."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Keep the server from running: connections stay open and silent."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End a freeze."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server and delete its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def create_database(self, name: str) -> None:
        """Make an empty database of that name."""
        self.execute(f"CREATE DATABASE `{self._checked(name)}`")

    def drop_database(self, name: str) -> None:
        """Delete a database, if it exists."""
        self.execute(f"DROP DATABASE IF EXISTS `{self._checked(name)}`")

    def execute(self, statement: str) -> str:
        """Run one statement as root; what it prints, columns separated by tabs, without headings."""
        command = [
            _require("mariadb"), "--no-defaults", f"--socket={self.socket}", "--user=root",
            "--batch", "--skip-column-names", "--connect-timeout=10", "--execute", statement,
        ]  # fmt: skip
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        if result.returncode != 0:
            raise MariaDBError(result.stderr.strip())
        return result.stdout

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of a database, by the unix socket."""
        return f"mysql+mysqldb://root@localhost/{self._checked(name)}?unix_socket={self.socket}&charset=utf8mb4"

    def tcp_url(self, name: str) -> str:
        """The SQLAlchemy URL of a database, by TCP on the loopback interface."""
        return f"mysql+mysqldb://root@127.0.0.1:{self.port}/{self._checked(name)}?charset=utf8mb4"

    @staticmethod
    def _checked(name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name):
            raise ValueError(f"not a database name: {name!r}")
        return name

    @staticmethod
    def _free_port() -> int:
        for port in random.sample(PORTS, 100):
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        raise MariaDBError("no free port")

    def _answers(self) -> bool:
        """Whether the server greets: the fifth byte of its handshake is the protocol's version."""
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.settimeout(PROBE_TIMEOUT_S)
            probe.connect(str(self.socket))
            greeting = probe.recv(5)
            return len(greeting) == 5 and greeting[4] == 10
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.pid is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._watchdog is not None:  # first: it must not outlive the pid that it guards
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None
        self._signal(number)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            raise MariaDBError(f"mariadbd had to be killed after {STOP_TIMEOUT_S} s") from None
        finally:
            self._process = None
