"""Somebody at a terminal with actcli, and the tower that takes their jobs to real CEs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from act.client.tables import clientjobs
from act.daemons.context import Context
from act_atlas.demo.picture import left_at_ces
from tests.integration.web_pump import Pump
from tests.integration.web_scene import Scene
from tests.signals import hear_ctrl_c

COMMAND_S = 120
WITHIN_S = 200


class Scientist:
    """home: a directory of theirs, where commands run; proxy: in PEM, with its key."""

    def __init__(self, home: Path, server: str, ca_cert: Path, proxy: bytes) -> None:
        self.home = home
        home.mkdir()
        self._environment = {
            "PATH": os.environ["PATH"], "HOME": str(home), "ACTCLI_SERVER": server, "ACTCLI_CA": str(ca_cert),
            "X509_USER_PROXY": str(home / "proxy.pem"), "PYTHONWARNINGS": "error",
        }  # fmt: skip
        (home / "proxy.pem").write_bytes(proxy)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """A command that goes on while the test does something else."""
        command = [str(Path(sys.executable).with_name("actcli")), *arguments]
        return subprocess.Popen(
            command, cwd=self.home, env=self._environment | environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=hear_ctrl_c,
        )  # fmt: skip

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """What a command says, or complains of if it is not to end with 0."""
        process = self.start(*arguments, **environment)
        said, complaints = process.communicate(timeout=COMMAND_S)
        assert process.returncode == code, f"actcli {arguments}: {process.returncode} {said} {complaints}"
        return complaints if code else said

    def ids(self, *arguments: str) -> list[int]:
        """Those of the jobs that ``sub`` or ``run`` submits."""
        command, *rest = arguments
        return [int(word) for word in self(command, "-q", *rest).split()]

    def jobs(self, *chosen: str) -> list[dict[str, Any]]:
        """What ``stat`` tells a program."""
        found: list[dict[str, Any]] = json.loads(self("stat", *chosen, "--format", "json"))
        return found

    @property
    def session(self) -> str:
        """The token that is kept of it."""
        kept = json.loads((self.home / ".local/share/act/token").read_text())
        return str(kept[self._environment["ACTCLI_SERVER"]]["token"])

    def write(self, name: str, content: str | bytes) -> Path:
        """A file in the home directory, which may be run."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o755)
        return path


class Behind:
    """What is behind the web server, while its daemons work."""

    def __init__(self, scene: Scene, pump: Pump) -> None:
        self.scene, self._pump = scene, pump

    def states(self, jobs: Sequence[int] = ()) -> dict[int, str]:
        """Job -> what its owner sees it as; of these, or of all that there are."""
        query = select(clientjobs.c.id, clientjobs.c.shown)
        wanted = query.where(clientjobs.c.id.in_(jobs)) if jobs else query
        return {row.id: row.shown for row in self.scene.db.read("test", lambda c: c.execute(wanted).all())}

    def until(self, jobs: Sequence[int], *states: str) -> None:
        """Wait until all of these are in one of the states."""
        self.wait(lambda: set(self.states(jobs).values()) <= {*states})

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait for anything."""
        self._pump.until(holds, WITHIN_S)

    def at_ces(self) -> list[str]:
        """Jobs of this tower that CEs have."""
        context = Context(self.scene.config)
        try:
            return left_at_ces(context)
        finally:
            context.close()

    def left(self) -> list[str]:
        """What there still is of jobs: in the tower, at its CEs, in its store; cleaning is given time."""
        self.wait(lambda: not self.states())
        self.wait(lambda: not self.at_ces())
        return self.scene.store.list("inputs") + self.scene.store.list("results")
