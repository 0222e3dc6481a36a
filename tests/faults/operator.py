"""An operator beside the tower, who drains a CE, and does to jobs what may be done to them, all through ``actctl``.

A process as daemons are, so that each command can be struck between its transactions, of which each job has its own.
A command that was not seen to end is given again, as people do.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from act.cli.actctl import EX_TEMPFAIL, main
from act.cli.job import EXIT_LEFT
from act.client.tables import clientjobs
from act.config import CoreConfig
from act.control import apply
from act.control.jobs import Filter, JobLine
from act.db.engine import Database

T = TypeVar("T")
NAME = "operator"
WHY = "the walk wants it"
ONE, PARKING = "one", "parking"  # of the person's CEs
# What the scene calls jobs: those of PanDA by their queues, those of the person by their names.
LEAVE = ("LEAVING", "user-leaving")  # have to wait elsewhere
END = ("DOOMED", "user-doomed", "user-again")
AGAIN = ("user-again",)  # is not to end, after all
POISON = ("ILL", "user-ill")

Lines = Mapping[str, JobLine]


@dataclass(frozen=True)
class Step:
    """A command of the operator's. ready: told all jobs, whether it is time; about: jobs that the command names.

    ce: the one of the person's CEs that the command names.
    """

    name: str
    command: str
    about: Sequence[str] = ()
    ready: Callable[[Lines], bool] = lambda lines: True
    ce: str = ""


def _all(names: Sequence[str], *states: str) -> Callable[[Lines], bool]:
    """Whether the jobs are all in one of these, or their attempts are."""
    return lambda lines: all(n in lines and {lines[n].state, lines[n].attempt_state} & {*states} for n in names)


STEPS = (
    Step("drain", "drain ce {ce}", (), _all((*LEAVE, *END), "submitted"), PARKING),
    Step("limit", "limit ce {ce} --max-jobs 5", ce=ONE),
    Step("pause", "pause queue MIXED"),
    Step("requeue", "job requeue {jobs}", LEAVE),
    Step("kill", "job kill {jobs}", END),
    Step("go-on", "resume queue MIXED"),
    Step("resubmit", "job resubmit {jobs}", AGAIN, _all(AGAIN, "cancelled")),
    Step("move", "job move --to {ce} default {jobs}", (*LEAVE, *AGAIN), _all((*LEAVE, *AGAIN), "tosubmit"), ONE),
    Step("move-poison", "job move --to {ce} default {jobs}", POISON, _all(POISON, "quarantined"), ONE),
    Step("release", "job release {jobs}", POISON),
    Step("unlimit", "resume ce {ce} --limits", ce=ONE),
    Step("undrain", "resume ce {ce}", ce=PARKING),
)


class Operator:
    """`once` is a pass, as daemons have it."""

    name = NAME

    def __init__(self, config: CoreConfig, directory: Path) -> None:
        self._notes = directory / NAME
        self._notes.mkdir(exist_ok=True)
        self._ces = {ce.name: ce.url for ce in config.users.ce}
        self._db = Database(config.database.connect_url(), pool=2)
        apply.PAGE = 1

    def once(self) -> int:
        """The next step; 0 while there is nothing to do but wait."""
        step = next((s for s in STEPS if not (self._notes / s.name).exists()), None)
        if step is None:
            return 0
        begun = self._notes / f"begun-{step.name}"
        again = begun.exists()
        if not again:
            lines = self._db.read("lines", _lines)
            if not step.ready(lines):
                return 0
            jobs = " ".join(lines[n].name for n in step.about)
            begun.write_text(step.command.format(ce=self._ces.get(step.ce), jobs=jobs))
        if done := _is_done(step.name, again, begun.read_text().split()):
            (self._notes / step.name).touch()
        return int(done)


def _is_done(label: str, again: bool, command: Sequence[str]) -> bool:
    """Give the command; of what is given again, some was done before, and may be over."""
    code, told = _actctl(label, *command, "--why", WHY)
    sys.stderr.write(f"{command} ended with {code}: {told}\n")
    assert code in (0, EXIT_LEFT, EX_TEMPFAIL), told
    return code == 0 or (code == EXIT_LEFT and again and "try again" not in told)


def _actctl(label: str, *arguments: str) -> tuple[int, str]:
    """Exit code, and what was said. The transactions of each command are fault points of their own."""
    told = io.StringIO()
    with _labelled(label), contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            main(arguments, standalone_mode=False)
        except SystemExit as end:
            return int(end.code or 0), told.getvalue()
    return 0, told.getvalue()


@contextlib.contextmanager
def _labelled(command: str) -> Any:
    run = Database.run

    def labelled(database: Database, label: str, work: Callable[[Connection], T]) -> T:
        return run(database, f"{label}-{command}", work)

    Database.run = labelled  # type: ignore[method-assign]
    try:
        yield
    finally:
        Database.run = run  # type: ignore[method-assign]


def _lines(connection: Connection) -> Lines:
    names = {r.id: r.jobname for r in connection.execute(select(clientjobs.c.id, clientjobs.c.jobname))}
    lines = {line.queue or names.get(line.id, ""): line for line in apply.select(connection, Filter(), limit=1000)}
    lines.pop("", None)  # it came between the two questions
    return lines


def left(directory: Path) -> int:
    """How many steps there are to be done."""
    return len([s for s in STEPS if not (directory / NAME / s.name).exists()])
