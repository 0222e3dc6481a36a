"""A private VOMS server for tests: Debian's voms-server on the loopback interface, its tables in a MariaDB of tests.

with VomsServer(mariadb, ca_dir, certificate, key) as voms:
    voms.grant("/O=Grid/CN=alice", "/O=Grid/CN=CA", "production")
    voms.vomses  # what clients need to know of it
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.x509.oid import NameOID

from act.x509 import slashed
from tests.services.mariadb import MariaDB
from tests.services.process import ServerError, Watchdog, find, free_port

PLUGIN = Path("/usr/lib/voms/libvomsmysql.so")
TABLES = Path("/usr/share/voms/voms-mysql.data")
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
FOUNDATION = """
INSERT INTO `groups` (gid, dn, parent, must) VALUES (1, '/{vo}', 1, 1);
INSERT INTO capabilities (cid, capability) VALUES (1, 'NULL');
INSERT INTO seqnumber (seq) VALUES ('00');
INSERT INTO version (version) VALUES (2);
GRANT ALL ON {database}.* TO '{database}'@'localhost' IDENTIFIED BY '{password}';
"""


class VomsServer:
    """One server of one VO, named in attributes as its certificate's CN. max_s: the longest life it gives to them."""

    def __init__(
        self, database: MariaDB, ca_dir: Path, cert: Path, key: Path, *, vo: str = "atlas", max_s: int = 96 * 3600
    ) -> None:
        self.vo = vo
        self.directory = Path(tempfile.mkdtemp(prefix="act-voms-"))
        self.vomses = self.directory / "vomses"
        self.port = free_port()
        self._mariadb = database
        self._database = f"voms_{secrets.token_hex(4)}"
        self._pid = 0
        self._watchdog: Watchdog | None = None
        password = secrets.token_hex(8)
        self._make_tables(password)
        (self.directory / "password").write_text(password + "\n")
        (self.directory / "password").chmod(0o640)  # it takes no other mode
        host = self._describe(cert)
        self._command = [
            f"{find('voms')}", "-foreground", "-vo", vo, "-port", str(self.port), "-timeout", str(max_s),
            "-sqlloc", str(PLUGIN), "-dbname", self._database, "-username", self._database,
            "-passfile", f"{self.directory}/password", "-contactstring", "localhost",
            "-mysql-socket", str(database.socket), "-x509_cert_dir", str(ca_dir), "-x509_user_cert", str(cert),
            "-x509_user_key", str(key), "-uri", f"{host}:{self.port}", "-socktimeout", "20",
            "-loglevel", "4", "-logtype", "7", "-logfile", f"{self.directory}/log",
        ]  # fmt: skip

    @staticmethod
    def installed() -> str | None:
        """None when the server can be used, else the reason why not."""
        clients = all(shutil.which(client) for client in ("voms-proxy-init", "arcproxy"))
        there = find("voms") is not None and PLUGIN.is_file() and TABLES.is_file() and clients
        return None if there else "no VOMS server, or no client (voms-server, voms-clients, ...): run tests/setup.sh"

    def __enter__(self) -> Self:
        try:
            self.start()
        except ServerError:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server and delete its data."""
        self.stop()
        self._mariadb.drop_database(self._database)
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        with (self.directory / "output").open("ab") as output:
            launcher = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.directory
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._listens():
            if launcher.poll() or time.monotonic() > deadline:
                raise ServerError(f"the VOMS server does not start: {self.said()}")
            time.sleep(0.05)
        launcher.wait(START_TIMEOUT_S)  # it goes into the background, whatever it is told
        self._pid = self._find()
        self._watchdog = Watchdog(self._pid, self.directory)

    def stop(self) -> None:
        """End the server."""
        if self._watchdog is None:
            return
        self._watchdog.dismiss()
        self._watchdog = None
        os.kill(self._pid, signal.SIGKILL)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._listens():
            if time.monotonic() > deadline:
                raise ServerError(f"the VOMS server does not end: {self.said()}")
            time.sleep(0.02)

    def said(self) -> str:
        """The last of what it wrote."""
        texts = [
            p.read_text(errors="replace") for p in (self.directory / "output", self.directory / "log") if p.exists()
        ]
        return "".join(texts)[-2000:]

    def grant(self, user: str, ca: str, *roles: str) -> None:
        """Make a member of the VO, with these roles."""
        self._sql(f"INSERT IGNORE INTO ca (ca) VALUES ('{ca}')")
        self._sql(
            "INSERT INTO usr (dn, ca, cn, mail, cauri) "
            f"SELECT '{user}', cid, 'somebody', '', '' FROM ca WHERE ca = '{ca}'"
        )
        userid = f"(SELECT userid FROM usr WHERE dn = '{user}')"
        self._sql(f"INSERT INTO m (userid, gid) VALUES ({userid}, 1)")
        for role in roles:
            self.grant_role(user, role)

    def grant_role(self, user: str, role: str) -> None:
        """Give a member a role."""
        userid = f"(SELECT userid FROM usr WHERE dn = '{user}')"
        self._sql(f"INSERT IGNORE INTO roles (role) VALUES ('{role}')")
        self._sql(f"INSERT INTO m (userid, gid, rid) SELECT {userid}, 1, rid FROM roles WHERE role = '{role}'")

    def _make_tables(self, password: str) -> None:
        self._mariadb.create_database(self._database)
        words = {"vo": self.vo, "database": self._database, "password": password}
        self._sql(TABLES.read_text() + FOUNDATION.format(**words))

    def _sql(self, statements: str) -> None:
        self._mariadb.execute(f"USE {self._database}; {statements}")

    def _find(self) -> int:
        """The process that serves: the one whose arguments have our directory."""
        for arguments in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if bytes(self.directory / "password") in arguments.read_bytes():
                    return int(arguments.parent.name)
        raise ServerError(f"the VOMS server has gone: {self.said()}")

    def _describe(self, cert: Path) -> str:
        """Write what clients need to know; the name of the server's host."""
        subject = x509.load_pem_x509_certificate(cert.read_bytes()).subject
        self.vomses.write_text(f'"{self.vo}" "localhost" "{self.port}" "{slashed(subject)}" "{self.vo}"\n')
        return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
