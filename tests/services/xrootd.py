"""A private XRootD server for tests: root:// (GSI), roots:// and davs:// on one port of the loopback interface.

with XRootD(ca.ca_dir, *ca.host(rsa=True)) as server:
    server.put("dir/file", b"..."); server.url("davs", "dir/file"); server.url("root", "dir/file")
    server.kill(); server.start()  # an outage: same files and port
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
USER = "nobody"  # xrootd does not run as root
# Below the range of ephemeral ports, so that nobody is given the port during an outage.
PORTS = range(20500, 30000)
# Ends the server and deletes its directory when the test process is gone: its end of the pipe closes.
WATCHDOG = 'read -r _; kill -KILL "$1"; rm -rf "$2"'
CONFIGURATION = """
xrd.port {port}
xrd.network nodnr
xrd.allow host *
xrd.sched mint 64 avlt 32 maxt 256
all.adminpath {directory}/admin
all.pidpath {directory}/admin
all.export /
oss.localroot {directory}/data
xrd.tls {directory}/host-cert.pem {directory}/host-key.pem
xrd.tlsca certdir {directory}/ca
xrootd.tls capable none
xrootd.seclib libXrdSec.so
sec.protocol gsi -certdir:{directory}/ca -cert:{directory}/host-cert.pem -key:{directory}/host-key.pem \
-crl:0 -gmapopt:10 -dlgpxy:0
xrd.protocol http:{port} libXrdHttp.so
http.desthttps yes
http.listingdeny yes
"""


class XRootDError(Exception):
    """The server cannot be started or stopped."""


class XRootD:
    """One server. The constructor makes its directory, start() runs it, close() removes all.

    Files are below ``data``, also for the test itself. ca_dir: hashed directory of the CAs whose users are let in.
    cert, key: of the host; RSA, or there is no GSI. checksums: what it computes, "" for none. access: rules of an
    authorisation database, "" to let everybody do everything. root: directory of the system whose xrootd runs; A-REX 7
    needs 5.7 or later to write by davs://, as older ones know headers in one spelling only. So for the test grid:
    XRootD(grid.ca_dir, certs / "host-cert.pem", certs / "host-key.pem", root=grid.root / "trixie").
    """

    def __init__(
        self, ca_dir: Path, cert: Path, key: Path, *,
        checksums: str = "max 32 adler32 md5", access: str = "", root: Path = Path("/"),
    ) -> None:  # fmt: skip
        self._root = root
        self.directory = Path(tempfile.mkdtemp(prefix="act-xrootd-", dir=root / "tmp"))
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.port = 0
        self._options = f"xrootd.chksum {checksums}\n" if checksums else ""
        if access:
            (self.directory / "access").write_text(access + "\n")
            self._options += f"ofs.authorize\nacc.authdb {self._inside}/access\n"
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        for name in ("data", "admin"):
            (self.directory / name).mkdir()
        shutil.copytree(ca_dir, self.directory / "ca")
        shutil.copy(cert, self.directory / "host-cert.pem")
        shutil.copy(key, self.directory / "host-key.pem")
        (self.directory / "host-key.pem").chmod(0o400)
        self._give_away(self.directory)

    @staticmethod
    def installed(root: Path = Path("/")) -> str | None:
        """None when the server can be used, else the reason why not."""
        if not (root / "usr/bin/xrootd").is_file() or not any((root / "usr").glob("lib*/**/libXrdHttp-*.so")):
            return f"XRootD with its HTTP plugin is not installed in {root}: run tests/setup.sh"
        return None

    @property
    def pid(self) -> int | None:
        """The server's process, None when it does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    @property
    def _inside(self) -> Path:
        """The directory, as the server sees it."""
        return Path("/") / self.directory.relative_to(self._root)

    @property
    def host(self) -> str:
        """host:port, as URLs have it."""
        return f"localhost:{self.port}"

    def url(self, scheme: str, path: str) -> str:
        """The URL of a file; scheme: davs, https, root or roots."""
        return f"{scheme}://{self.host}{'//' if scheme.startswith('root') else '/'}{path}"

    def put(self, path: str, content: bytes) -> None:
        """Write a file, as a job would."""
        self.fill([(path, content)])

    def fill(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Write many files, given as (path, content)."""
        for path, content in files:
            file = self.data / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)  # the server keeps checksums with the file, by its time in whole seconds
            file.write_bytes(content)
        self._give_away(self.data)

    def start(self) -> None:
        """Start the server, on the files it had, and wait until it answers. No harm if it runs."""
        if self.pid is not None:
            return
        self.port = self.port or self._free_port()
        configuration = self.directory / "xrootd.cfg"
        text = CONFIGURATION.format(port=self.port, directory=self._inside)
        configuration.write_text(text + self._options)
        self._give_away(configuration)
        as_user = ["-R", USER] if os.geteuid() == 0 else []
        enter = [] if self._root == Path("/") else ["chroot", str(self._root)]
        command = [*enter, "xrootd", "-c", str(self._inside / "xrootd.cfg"), "-n", f"p{self.port}", *as_user]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.directory
            )
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", str(self._process.pid), str(self.directory)],
            stdin=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self.pid is None or time.monotonic() > deadline:
                self.kill()
                raise XRootDError(f"xrootd does not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill the server, as a crash would; the files stay."""
        if self._process is None:
            return
        if self._watchdog is not None:  # first: it must not outlive the pid that it guards
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)
        self._process = None

    def freeze(self) -> None:
        """Keep the server from running: connections are made, stay open, and silent."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """End a freeze."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the server and delete its files."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _give_away(path: Path) -> None:
        """To the user that the server runs as, all below included."""
        if os.geteuid() == 0:
            for one in (path, *path.rglob("*")):
                shutil.chown(one, USER, "nogroup")

    @staticmethod
    def _free_port() -> int:
        for port in random.sample(PORTS, 100):
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        raise XRootDError("no free port")

    def _answers(self) -> bool:
        """Whether the server speaks its own protocol: it answers the hand-shake with 16 bytes."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as probe:
            probe.sendall(bytes.fromhex("00000000 00000000 00000000 00000004 000007dc"))
            return len(probe.recv(16)) == 16
        return False
