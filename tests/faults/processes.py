"""The tower's daemons, a person, and an operator, as processes: those under test alone in theirs, all others together
in one.

They are forked from a small server without threads that has loaded everything already, so that a kill -9 hits one
daemon and nothing else, and a process costs next to nothing.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from act import log
from act.config import CoreConfig, load_core
from act.daemons import registry, report
from act.daemons.runner import RESTART_EXIT
from act.db import figures
from act.errors import CredentialError, StaleClaim, TemporaryError
from tests.faults import operator, person
from tests.faults.operator import Operator
from tests.faults.person import Person

DAEMONS = ("cric", "proxy", "getjob", "panda2arc", "submitter-arc", "reconciler-arc", "status-arc", "canceller-arc",
           "fetcher-arc", "cleaner-arc", "pandastatus", "validator", "heartbeat", "archiver", "client2arc",
           "clientstatus", "report", "guard")  # fmt: skip
PEOPLE = {person.NAME: Person, operator.NAME: Operator}
PAUSE_S = 0.05  # after a round in which nothing moved
PR_SET_PDEATHSIG = 1
SETTLED_S = 0.3  # no transaction stays open for so long
MINUTE_S = 1.0  # so that there are several in a run

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    ["act.daemons.registry", *(e.target.partition(":")[0] for e in registry.all_daemons().values()), "act_arc.ce",
     "alembic.command", "sqlalchemy.dialects.sqlite", "MySQLdb", "tests.faults.operator"]
)  # fmt: skip


def members(operated: bool) -> tuple[str, ...]:
    """All daemons, and the people beside them. operated: with an operator."""
    return (*DAEMONS, person.NAME, *([operator.NAME] if operated else []))


class Processes:
    """The ``names`` of one tower. environment: where their configuration is; what they say goes to ``directory``.

    alone: daemons that are processes of their own -> what is added to their environment.
    """

    def __init__(
        self, directory: Path, names: Sequence[str], environment: Mapping[str, str],
        alone: Mapping[str, Mapping[str, str]],
    ) -> None:  # fmt: skip
        kinds = {name.partition(".")[0] for name in alone}
        rest = [name for name in names if name not in kinds]
        self.deaths = 0
        self._directory = directory
        self._started = {name: ((name,), {**environment, **added}) for name, added in alone.items()}
        if rest:
            self._started["rest"] = (tuple(rest), dict(environment))
        self._processes: dict[str, BaseProcess] = {}

    def start(self) -> None:
        """Start all."""
        for name in self._started:
            self._start(name)

    def tend(self) -> None:
        """Start again what has died, as the master would."""
        for name, process in list(self._processes.items()):
            if process.exitcode is not None:
                if process.exitcode not in (-signal.SIGKILL, RESTART_EXIT):
                    raise AssertionError(f"{name} ended with exit code {process.exitcode}:\n{self._end_of_log(name)}")
                self.deaths += 1
                self._start(name)

    def stop(self) -> None:
        """Kill all: whoever needs a clean end is wrong here."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.join()
            process.close()

    def said(self) -> str:
        """What the processes said last, for people."""
        return "\n".join(f"--- {name}\n{self._end_of_log(name)}" for name in self._started)

    def _end_of_log(self, name: str) -> str:
        path = self._log(name)
        return "\n".join(path.read_text(errors="replace").splitlines()[-40:]) if path.exists() else ""

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _start(self, name: str) -> None:
        names, environment = self._started[name]
        process = _server.Process(target=_main, args=(names, environment, str(self._log(name))), daemon=True)
        process.start()
        self._processes[name] = process


def _main(names: Sequence[str], environment: Mapping[str, str], log_file: str) -> None:
    """The main program of a process."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.update(environment)
    sys.stderr = Path(log_file).open("a", buffering=1)  # noqa: SIM115 - for the rest of this process's life
    log.setup(names[0] if len(names) == 1 else "rest")
    figures.SETTLED_S, report.MINUTE_S = SETTLED_S, MINUTE_S
    config = load_core()
    if len(names) == 1 and names[0] not in PEOPLE:
        sys.exit(registry.target(config)(names[0], lambda: None, lambda: False))
    passes = {name: _pass_of(name, config, Path(log_file).parent) for name in names}
    while True:
        if not sum(_pass(name, once) for name, once in passes.items()):
            time.sleep(PAUSE_S)


def _pass_of(name: str, config: CoreConfig, directory: Path) -> Callable[[], int]:
    return PEOPLE[name](config, directory).once if name in PEOPLE else registry.build(name, config).once


def _pass(name: str, once: Callable[[], int]) -> int:
    try:
        return once()
    except (TemporaryError, CredentialError, StaleClaim) as error:
        sys.stderr.write(f"{name}: {error!r}\n")
        return 0
