"""The real tower of a trial: actctl, the master with all daemons, and a view into the database."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from act.errors import ActError

STOP_S = 40
CALL_S = 60
PR_SET_PDEATHSIG = 1
_ACTCTL = (sys.executable, "-m", "act.cli")


def die_with_parent() -> None:
    """For a child process: be told to end when the parent is gone, however that came about."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Tower:
    """A tower that keeps its things below ``directory``. environment: names its configuration files."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self.environment = dict(environment)
        self.log = directory / "tower.log"
        self._master: subprocess.Popen[bytes] | None = None

    def set_up(self) -> None:
        """Directories, key and database. Raises ActError."""
        done = self.actctl("init", "--directory", str(self.directory))
        if done.returncode:
            raise ActError(f"the tower cannot be set up: {done.stderr.strip()}")

    def actctl(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the operator to its end; its output is text. environment: added for this one."""
        return subprocess.run([*_ACTCTL, *arguments], env=self.environment | environment, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=CALL_S)  # fmt: skip

    def spawn(self, *arguments: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a command that goes on; what it says goes to a file. It ends with us."""
        return subprocess.Popen([*_ACTCTL, *arguments], env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                                stderr=log, start_new_session=True, preexec_fn=die_with_parent)  # fmt: skip

    def start(self) -> None:
        """Start the master. What it says goes to ``log``."""
        with self.log.open("ab") as log:
            self._master = self.spawn("run", log=log)

    @property
    def pid(self) -> int | None:
        """Of the master; None if it does not run."""
        return self._master.pid if self._master is not None and self._master.poll() is None else None

    def stop(self) -> int:
        """SIGTERM; returns the exit code. No harm if it does not run."""
        if self._master is None:
            return 0
        self._master.terminate()
        try:
            return self._master.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ActError(f"the master did not stop within {STOP_S} s") from None

    def kill(self) -> None:
        """SIGKILL to the master; its daemons die with it."""
        if self._master is not None:
            self._master.kill()
            self._master.wait()

    def said(self, lines: int = 15) -> str:
        """The end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""
