"""All that a scientist meets, for tests of actcli: the web server in a process of its own, over TLS; behind it a tower
whose daemons make a pass when told to, and a simulated CE that really runs jobs."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
from click.testing import CliRunner, Result

from act.cli.user.main import main
from act.daemons import registry
from act.simulation import TestCA
from act_arc.simulator import ArcSimulator
from tests.integration.web_scene import Scene
from tests.signals import hear_ctrl_c

DAEMONS = ("client2arc", "submitter-arc", "status-arc", "fetcher-arc", "canceller-arc", "clientstatus", "cleaner-arc")
EAGER = """<polling><status_s>0.1</status_s><missing_s>0.1</missing_s></polling>
<leases><lease_s>60</lease_s><settle_s>0.1</settle_s><margin_s>5</margin_s></leases>"""


class Town:
    """A tower with a CE "sim" and the people of `tests.integration.web_scene`; alice has a proxy file."""

    def __init__(self, directory: Path, template: Path, ca: TestCA, **ce: object) -> None:
        """ce: settings of the simulated CE."""
        self.directory, self.ca = directory, ca
        with ExitStack() as stack:
            self._build(stack, template, ce)
            self._open = stack.pop_all()

    def _build(self, stack: ExitStack, template: Path, ce: Mapping[str, object]) -> None:
        directory, ca = self.directory, self.ca
        self.ce = stack.enter_context(ArcSimulator(directory / "ce", ca, queues=("fork",), **ce))  # type: ignore[arg-type]
        self.home = directory / "home"
        self.home.mkdir()
        port = _free_port()
        cert, key = ca.host()
        web = f"<bind>127.0.0.1:{port}</bind><certificate>{cert}</certificate><key>{key}</key><threads>8</threads>"
        tower = directory / "tower"
        tower.mkdir()
        self.scene = Scene(tower, template, ca, web=web, extra=EAGER, places=[("sim", self.ce.url, "fork")])
        stack.callback(self.scene.close)
        self.url = f"https://localhost:{port}"
        self.proxy = self.home / "proxy.pem"
        self.new_proxy()
        self.environment = {
            "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config"), "ACTCLI_SERVER": self.url,
            "XDG_DATA_HOME": str(self.home / "data"), "X509_USER_PROXY": str(self.proxy), "ACTCLI_CA": str(ca.ca_dir),
            "TZ": "UTC",
        }  # fmt: skip
        self._trust = ssl.create_default_context(cafile=str(ca.ca_cert))
        self._server: subprocess.Popen[bytes] | None = None
        stack.callback(self.stop_server)
        self.start_server()

    def new_proxy(self, lifetime_s: float = 40000) -> None:
        """A proxy file of alice."""
        self.proxy.write_bytes(self.scene.proxy_of("alice", lifetime_s))

    # --- the server

    def start_server(self) -> None:
        """``actctl web``."""
        environment = os.environ | {"ACTCONFIGARC": str(self.scene.file)}
        with (self.directory / "web.log").open("ab") as log:
            self._server = subprocess.Popen([sys.executable, "-m", "act.cli", "web"], env=environment, stdout=log,
                                            stderr=log, cwd=self.directory)  # fmt: skip
        end = time.monotonic() + 60
        while not self._answers():
            assert self._server.poll() is None and time.monotonic() < end, (self.directory / "web.log").read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v1/health", verify=self._trust, timeout=5).is_success
        except httpx.TransportError:
            return False

    def stop_server(self) -> None:
        """SIGTERM; no harm if it does not run."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(60)
            self._server = None

    @property
    def server_pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    # --- the user

    def actcli(
        self, *arguments: str, expect: int | None = 0, stdin: str = "", env: Mapping[str, str | None] | None = None
    ) -> Result:
        """A command of alice's, in this process."""
        there = Path.cwd()
        os.chdir(self.home)
        try:
            done = CliRunner().invoke(main, arguments, input=stdin, env=self.environment | (env or {}))
        finally:
            os.chdir(there)
        assert expect in (None, done.exit_code), f"{arguments}: {done.exit_code}\n{done.output}\n{done.exception!r}"
        return done

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command of alice's in a process of its own."""
        command = [sys.executable, "-m", "act.cli.user", *arguments]
        return subprocess.Popen(command, env=os.environ | self.environment, cwd=self.home, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, preexec_fn=hear_ctrl_c)  # fmt: skip

    def ids(self, *chosen: str) -> list[int]:
        """Of alice's jobs that ``actcli stat`` shows."""
        told = self.actcli("stat", *chosen, "--format", "csv", "--columns", "id").output
        return [int(word) for word in told.split()[1:]]

    def write(self, name: str, text: str) -> Path:
        """A file in alice's home."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    # --- the tower

    def work(self, *daemons: str) -> None:
        """One pass of each daemon."""
        for name in daemons or DAEMONS:
            runner = registry.build(name, self.scene.config)
            try:
                runner.once()
                assert not (troubles := runner.daemon.troubles()), troubles
            finally:
                runner.daemon.close()
                runner.context.close()

    def until(self, *states: str, jobs: Sequence[int]) -> None:
        """Let daemons work until all these jobs of alice's are in one of these states."""
        end = time.monotonic() + 90
        while time.monotonic() < end:
            self.work()
            chosen = ",".join(map(str, jobs))
            if set(self.actcli("stat", chosen, "--format", "csv", "--columns", "state").output.split()[1:]) <= {
                *states
            }:
                return
            time.sleep(0.2)
        raise AssertionError(self.actcli("stat", "-l").output)

    def close(self) -> None:
        self._open.close()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port
