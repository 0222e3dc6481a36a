"""A private MariaDB server for tests: own data directory, own socket and port, ended with the test process.

with MariaDB() as server:
    server.create_database("act"); server.url("act")
    server.kill(); server.start()  # an outage: same data, socket and port
"""

import contextlib
import functools
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.services.process import Server, ServerError, find

INSTALL_TIMEOUT_S = 120.0
PROBE_TIMEOUT_S = 2.0
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


def _require(name: str) -> str:
    program = find(name)
    if program is None:
        raise ServerError(f"no {name}: run tests/setup.sh")
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
            raise ServerError(f"mariadb-install-db failed: {(result.stdout + result.stderr)[-2000:]}")
        with contextlib.suppress(OSError):  # another process was first
            made.rename(template)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return template


class MariaDB(Server):
    """One server, with its data."""

    program = "mariadbd"

    def __init__(self) -> None:
        template = _template()
        super().__init__(Path(tempfile.mkdtemp(prefix="act-mariadb-")))
        self.data = self.directory / "data"
        self.socket = self.directory / "socket"
        shutil.copytree(template, self.data)

    @staticmethod
    def installed() -> str | None:
        """None when the server can be used, else the reason why not."""
        missing = [name for name in ("mariadbd", "mariadb-install-db", "mariadb") if find(name) is None]
        return f"MariaDB is not installed (missing: {', '.join(missing)}): run tests/setup.sh" if missing else None

    def _command(self) -> list[str]:
        return [
            _require("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}",
            f"--port={self.port}", f"--pid-file={self.directory}/pid", f"--tmpdir={self.directory}",
            *INITIAL, *SETTINGS, *_as_root(),
        ]  # fmt: skip

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
            raise ServerError(result.stderr.strip())
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

    def _answers(self) -> bool:
        """Whether the server greets: the fifth byte of its handshake is the protocol's version."""
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.settimeout(PROBE_TIMEOUT_S)
            probe.connect(str(self.socket))
            greeting = probe.recv(5)
            return len(greeting) == 5 and greeting[4] == 10
        return False
