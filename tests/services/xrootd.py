"""A private XRootD server for tests: root:// (GSI), roots:// and davs:// on one port of the loopback interface.

with XRootD(ca.ca_dir, *ca.host(rsa=True)) as server:
    server.put("dir/file", b"..."); server.url("davs", "dir/file"); server.url("root", "dir/file")
    server.kill(); server.start()  # an outage: same files and port
"""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.services.process import Server

USER = "nobody"  # xrootd does not run as root
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


class XRootD(Server):
    """One server, with its files.

    Files are below ``data``, also for the test itself. ca_dir: hashed directory of the CAs whose users are let in.
    cert, key: of the host; RSA, or there is no GSI. checksums: what it computes, "" for none. access: rules of an
    authorisation database, "" to let everybody do everything. root: directory of the system whose xrootd runs; A-REX 7
    needs 5.7 or later to write by davs://, as older ones know headers in one spelling only. So for the test grid:
    XRootD(grid.ca_dir, certs / "host-cert.pem", certs / "host-key.pem", root=grid.root / "trixie").
    """

    program = "xrootd"
    start_s, stop_s = 30.0, 20.0

    def __init__(
        self, ca_dir: Path, cert: Path, key: Path, *,
        checksums: str = "max 32 adler32 md5", access: str = "", root: Path = Path("/"),
    ) -> None:  # fmt: skip
        super().__init__(Path(tempfile.mkdtemp(prefix="act-xrootd-", dir=root / "tmp")))
        self._root = root
        self.data = self.directory / "data"
        self._options = f"xrootd.chksum {checksums}\n" if checksums else ""
        if access:
            (self.directory / "access").write_text(access + "\n")
            self._options += f"ofs.authorize\nacc.authdb {self._inside}/access\n"
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

    def _command(self) -> list[str]:
        configuration = self.directory / "xrootd.cfg"
        text = CONFIGURATION.format(port=self.port, directory=self._inside)
        configuration.write_text(text + self._options)
        self._give_away(configuration)
        as_user = ["-R", USER] if os.geteuid() == 0 else []
        enter = [] if self._root == Path("/") else ["chroot", str(self._root)]
        return [*enter, "xrootd", "-c", str(self._inside / "xrootd.cfg"), "-n", f"p{self.port}", *as_user]

    @staticmethod
    def _give_away(path: Path) -> None:
        """To the user that the server runs as, all below included."""
        if os.geteuid() == 0:
            for one in (path, *path.rglob("*")):
                shutil.chown(one, USER, "nogroup")

    def _answers(self) -> bool:
        """Whether the server speaks its own protocol: it answers the hand-shake with 16 bytes."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as probe:
            probe.sendall(bytes.fromhex("00000000 00000000 00000000 00000004 000007dc"))
            return len(probe.recv(16)) == 16
        return False
