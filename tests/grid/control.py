"""Control of the test grid from Python: a thin, typed layer over the scripts of this directory.

grid = Grid()
if reason := grid.installed(): pytest.skip(reason)
grid.up("ce1"); grid.ce("ce1").url; grid.proxy("alice.prod"); grid.freeze("ce1"); grid.thaw("ce1"); grid.kill("ce1")
grid.up("condorB"); grid.pool("condorB").schedd; grid.client_config("gridatlas"); grid.share("gridatlas")
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt

HERE = Path(__file__).resolve().parent
POOL_NAMES = ("condorA", "condorB")
ARC_NAMES = ("ce1", "ce2", "ce3", "ce6")
REST_VERSIONS = {"ce6": "1.0"}  # A-REX 6.17; A-REX 7 speaks 1.1 too
USERS = ("alice", "bob", "mallory")
PROXIES = ("alice", "alice.atlas", "alice.prod", "bob", "bob.pilot", "mallory")
POOL_USERS = ("gridatlas", "gridprod", "root", "stranger", "proxy")
PROXY_MAX_AGE_S = 12 * 3600  # of 24 h


class GridError(Exception):
    """A script of the test grid failed or took too long."""


@dataclass(frozen=True)
class CE:
    """A compute element of the test grid, as a client sees it."""

    name: str
    url: str
    ca_dir: Path
    rest_version: str  # the highest that it offers


@dataclass(frozen=True)
class Pool:
    """An HTCondor pool of the test grid, as a client sees it."""

    name: str
    schedd: str
    collector: str  # host:port
    ca_dir: Path  # for clients that show a proxy or a bearer token


class Grid:
    """The middleware that install.sh put under root; every call waits until it is done."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(os.environ.get("ACT_GRID", "/srv/act-grid"))

    def installed(self) -> str | None:
        """None when the grid can be used, else the reason why not."""
        if os.geteuid() != 0:
            return "the test grid needs root"
        missing = [name for name in (*ARC_NAMES, *POOL_NAMES) if not (self._directory(name) / "configured").is_file()]
        if missing or not (self.root / "certs/host-cert.pem").is_file():
            return f"no complete test grid in {self.root} (missing: {', '.join(missing) or 'certificates'}): " \
                "run tests/grid/install.sh"  # fmt: skip
        return None

    def up(self, *names: str) -> None:
        """Start services (default ce1 ce2 ce6) and wait until they answer; no harm if they are up."""
        self._run("up.sh", *names, timeout_s=180)

    def down(self, *names: str) -> None:
        """Stop services, by default all that were started. Their jobs stay on disk."""
        self._run("down.sh", *names, timeout_s=60)

    def running(self, name: str) -> bool:
        """Whether the service was started and lives (frozen or without front end, too)."""
        return self._call("svc.sh", "status", name, timeout_s=10)[0] == 0

    def kill(self, name: str) -> None:
        """A power cut: the service and its running jobs are gone at once."""
        self._run("svc.sh", "kill", name, timeout_s=30)

    def wipe(self, name: str) -> None:
        """Delete all jobs, delegations and logs of a service that is down."""
        if self.running(name):
            raise GridError(f"{name} is up: it can be wiped only when it is down")
        self._run("down.sh", "--wipe", name, timeout_s=60)

    def freeze(self, name: str) -> None:
        """Freeze a CE's REST front end, a pool's collector and schedd: connections are accepted and stay silent, jobs
        go on."""
        self._run(_front(name), "freeze", name, timeout_s=15)

    def thaw(self, name: str) -> None:
        """End a freeze: requests that came meanwhile are carried out, even if their clients gave up."""
        self._run(_front(name), "thaw", name, timeout_s=15)

    def kill_schedd(self, pool: str) -> None:
        """SIGKILL to a pool's schedd; waits until the one that its master starts instead answers. Jobs go on."""
        self._run("pool.sh", "kill-schedd", pool, timeout_s=80)

    def stop_frontend(self, name: str) -> None:
        """Kill a CE's REST front end: connections are refused, jobs go on."""
        self._run("ws.sh", "stop", name, timeout_s=15)

    def start_frontend(self, name: str) -> None:
        """Start a CE's REST front end again and wait until it answers."""
        self._run("ws.sh", "start", name, timeout_s=80)

    def run(self, pool: str, *command: str) -> str:
        """What a tool of HTCondor says that the pool's administrator runs there; GridError if it fails."""
        return self._run("pool.sh", "run", pool, *command, timeout_s=30)

    def ce(self, name: str) -> CE:
        if name not in ARC_NAMES:
            raise GridError(f"no such CE: {name}")
        port = int((self.root / "ports" / name).read_text())
        return CE(name, f"https://localhost:{port}/arex", self.ca_dir, REST_VERSIONS.get(name, "1.1"))

    def pool(self, name: str) -> Pool:
        if name not in POOL_NAMES:
            raise GridError(f"no such pool: {name}")
        port = int((self.root / "ports" / name).read_text())
        return Pool(name, f"{name}@grid.test", f"localhost:{port}", self.ca_dir)

    def client_config(self, user: str) -> Path:
        """What CONDOR_CONFIG of a client is to be. user: one of POOL_USERS; all show a token, but for "proxy", which
        shows the proxy that X509_USER_PROXY names. No pool knows the stranger; root may do all but submit."""
        if user not in POOL_USERS:
            raise GridError(f"no such user of the pools: {user}")
        return self.root / f"condor-client/{user}.config"

    @contextmanager
    def share(self, owner: str) -> Iterator[Path]:
        """A directory of an account that this host and the chroot see at the same path; removed in the end."""
        directory = Path(tempfile.mkdtemp(dir=self.root / "share"))
        os.chown(directory, *pwd.getpwnam(owner)[2:4])
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    @property
    def ca_dir(self) -> Path:
        return self.root / "certs/ca"

    def proxy(self, name: str) -> Path:
        """A ready-made proxy, one of PROXIES, valid for hours."""
        if name not in PROXIES:
            raise GridError(f"no such proxy: {name}")
        path = self.root / f"proxies/{name}.pem"
        if not path.is_file() or time.time() - path.stat().st_mtime > PROXY_MAX_AGE_S:
            self._run("proxies.sh", timeout_s=60)
        return path

    def token(self, name: str, lifetime_s: float = 3600, **claims: object) -> str:
        """A bearer token for a CE or pool, which maps it to gridprod; claims: instead of, or beside, the usual ones."""
        issuer = self.root / "certs/tokenissuer/issuer"
        if not issuer.is_file():
            raise GridError(f"no issuer of tokens in {self.root}: run tests/grid/install.sh")
        audience = self.pool(name).collector if name in POOL_NAMES else self.ce(name).url.removesuffix("/arex")
        now = int(time.time())
        usual = {
            "iss": issuer.read_text(), "sub": "robot", "aud": audience,
            "scope": "compute.read compute.create compute.modify compute.cancel", "wlcg.ver": "1.0",
            "iat": now - 60, "nbf": now - 60, "exp": now + int(lifetime_s), "jti": secrets.token_hex(8),
        }  # fmt: skip
        key = (self.root / "certs/token-key.pem").read_bytes()
        return jwt.encode(usual | claims, key, algorithm="RS256", headers={"kid": "grid"})

    def user_cert(self, user: str) -> tuple[Path, Path]:
        """Certificate and key of one of USERS, valid for years."""
        if user not in USERS:
            raise GridError(f"no such user: {user}")
        users = self.root / "certs/users"
        return users / f"{user}-cert.pem", users / f"{user}-key.pem"

    def log_dir(self, name: str) -> Path:
        """Where a CE or pool writes its logs."""
        return self._directory(name) / "log"

    def _directory(self, name: str) -> Path:
        if name == "ce6":  # the only one that runs outside the chroot
            return self.root / name
        return self.root / "trixie" / self.root.relative_to("/") / name

    def _run(self, script: str, *arguments: str, timeout_s: float) -> str:
        code, output = self._call(script, *arguments, timeout_s=timeout_s)
        if code != 0:
            raise GridError(f"{script} {' '.join(arguments)} ended with {code}: {output[-2000:].strip()}")
        return output

    def _call(self, script: str, *arguments: str, timeout_s: float) -> tuple[int, str]:
        environment = os.environ | {"ACT_GRID": str(self.root), "PYTHON": sys.executable}
        # Output goes to a file: a pipe would be held open by anything that outlives the script.
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            process = subprocess.Popen(
                [str(HERE / script), *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=environment, start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
                raise GridError(f"{script} {' '.join(arguments)} took longer than {timeout_s} s") from None
            output.seek(0)
            return code, output.read()


def _front(name: str) -> str:
    """The script for what clients of a service talk to."""
    return "pool.sh" if name in POOL_NAMES else "ws.sh"
