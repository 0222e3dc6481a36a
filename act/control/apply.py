"""Jobs found and acted on over all applications: a bounded page at a time, each page in a transaction of its own.

Repeating an order is harmless, so one that broke off between two pages is simply given again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from act.control.jobs import Filter, JobLine, Verb
from act.db.engine import Database
from act.errors import JobError
from act.interfaces import Application, plugins

PAGE = 500
START = ("", 0)  # before all jobs

# The application of a job, and its number there: all jobs in order.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Action:
    """Something to be done to jobs. who: ``operator-<name>``. value: see `act.interfaces.Operations.control`."""

    verb: Verb
    wanted: Filter
    who: str
    why: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one job. refused: why it was left as it is, "" if it was not. job: as it was before."""

    job: JobLine
    refused: str


class _Undone(Exception):
    """Ends the transaction of a dry run."""

    def __init__(self, done: list[Done]) -> None:
        super().__init__()
        self.done = done


def place(line: JobLine) -> Place:
    """Where a job is in the order of all jobs."""
    return line.app, line.id


def select(connection: Connection, wanted: Filter, *, after: Place = START, limit: int = PAGE) -> list[JobLine]:
    """Jobs that are wanted, by application and number, those after ``after``."""
    found: list[JobLine] = []
    for name, application in _applications(wanted):
        if name < after[0] or len(found) == limit:
            continue
        begin = after[1] if name == after[0] else 0
        found += application.operations.find(connection, wanted, after=begin, limit=limit - len(found))
    return found


def count(database: Database, wanted: Filter) -> int:
    """How many jobs are wanted."""
    found, after = 0, START
    while lines := _page(database, wanted, after):
        found, after = found + len(lines), place(lines[-1])
    return found


def apply(database: Database, action: Action, *, dry_run: bool = False) -> Iterator[list[Done]]:
    """Do it, page by page; yields what came of each page once that is certain.

    dry_run: everything is tried, and undone again. Raises JobError if the order itself makes no sense.
    """
    if not action.why.strip():
        raise JobError("say why: it is written into the history of every job")
    after = START
    while lines := _page(database, action.wanted, after):
        yield _act(database, action, lines, dry_run)
        after = place(lines[-1])


def _page(database: Database, wanted: Filter, after: Place) -> list[JobLine]:
    return database.read("find", lambda c: select(c, wanted, after=after, limit=PAGE))


def _act(database: Database, action: Action, lines: Sequence[JobLine], dry_run: bool) -> list[Done]:
    def work(connection: Connection) -> list[Done]:
        done = []
        for name, application in _applications(action.wanted):
            some = [line for line in lines if line.app == name]
            if not some:
                continue
            refused = application.operations.control(
                connection, action.verb, [s.id for s in some], who=action.who, why=action.why, value=action.value
            )
            done += [Done(s, refused.get(s.id, "")) for s in some]
        if dry_run:
            raise _Undone(done)
        return done

    try:
        return database.run("control", work)
    except _Undone as undone:
        return undone.done


def _applications(wanted: Filter) -> list[tuple[str, Application]]:
    """Those that are meant, by name."""
    return sorted((n, a) for n, a in plugins("act.app").items() if wanted.app in ("", n))
