"""One job closely: its story, its attempts, what was sent, its files. Read from one open snapshot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from act.control.jobs import Filter, JobLine
from act.db import cejobs, ces, results, specs
from act.db.engine import AnyRow
from act.db.results import ResultFile
from act.errors import ActError, BadJobSpec, ConfigError, StaleClaim
from act.explain import ask
from act.explain.moment import Moment
from act.explain.story import Story
from act.interfaces import Application, CEFactory, plugin
from act.model import JobSpec, PublishedLogs, Submission
from act.pages import timeline
from act.pages.timeline import Timeline

NAME = re.compile(r"(?:[a-z]{1,20}:)?[1-9]\d{0,17}")
MOST_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt. ce, queue: "" before one was chosen. role: of its credential. request: what its CE gets, as text.

    files: those of it that the store has.
    """

    row: AnyRow
    ce: str
    queue: str
    role: str
    request: str
    files: tuple[ResultFile, ...]


@dataclass(frozen=True, slots=True)
class JobPage:
    """One job. line: None for one in the archive; by another name than `name` if that is of a row or an attempt of it.
    logs: what was published of it.

    attempts: the youngest first; more: how many older ones are not among them.
    """

    name: str
    now: float
    line: JobLine | None
    story: Story
    timeline: Timeline | None
    attempts: tuple[AttemptLine, ...]
    more: int
    logs: PublishedLogs | None


def page(
    connection: Connection, moment: Moment, applications: Sequence[Application], name: str, *, whole: bool = True
) -> JobPage | None:
    """A job by its name (`JobLine.name`), from the archive too, or by the number of an attempt; None without any.

    whole: with what may be nobody else's business: requests, and files that are not published.
    """
    try:
        story = _story(connection, moment, name)
    except ActError:
        return None
    line = _line(connection, applications, name, story)
    logs = next((found for app in applications if (found := app.operations.logs(connection, name)) is not None), None)
    numbers = sorted(story.attempts, reverse=True)
    return JobPage(
        name=name,
        now=moment.now,
        line=line,
        story=story,
        timeline=timeline.draw(story.history, moment.now if line is not None else story.since or moment.now),
        attempts=_attempts(connection, moment, numbers[:MOST_ATTEMPTS], whole),
        more=max(0, len(numbers) - MOST_ATTEMPTS),
        logs=logs,
    )


def _line(connection: Connection, applications: Sequence[Application], name: str, story: Story) -> JobLine | None:
    """By its name, else by its latest attempt."""
    for app in applications:
        for found in app.operations.find(connection, Filter(names=(name,)), after=0, limit=1):
            return found
    for row in cejobs.get(connection, story.attempts[-1:]).values():
        for app in applications:
            for found in app.operations.find(connection, Filter(), after=row.appjob_id - 1, limit=1):
                if found.cejob_id == row.id:
                    return found
    return None


def attempts_of(connection: Connection, moment: Moment, name: str) -> tuple[int, ...]:
    """The numbers of a job's attempts."""
    try:
        return _story(connection, moment, name).attempts
    except ActError:
        return ()


def _story(connection: Connection, moment: Moment, name: str) -> Story:
    if not NAME.fullmatch(name):
        raise ActError(f"'{name[:50]}' is no name of a job")
    return ask.by_row(connection, moment, name) if ":" in name else ask.job(connection, moment, int(name))


def _attempts(connection: Connection, moment: Moment, numbers: Sequence[int], whole: bool) -> tuple[AttemptLine, ...]:
    rows = cejobs.get(connection, numbers)
    there = ces.places(connection, {r.ce_id for r in rows.values() if r.ce_id is not None})
    queues = ces.queue_names(connection, [r.cequeue_id for r in rows.values() if r.cequeue_id is not None])
    found = []
    for row in (rows[i] for i in numbers if i in rows):
        queue = queues.get(row.cequeue_id, "")
        found.append(
            AttemptLine(
                row=row,
                ce=there[row.ce_id][0] if row.ce_id is not None else "",
                queue=queue,
                role=moment.role(row.proxy_id),
                request=_request(connection, row, queue) if whole else "",
                files=tuple(results.brought(connection, row.id)) if whole else (),
            )
        )
    return tuple(found)


def _request(connection: Connection, row: AnyRow, queue: str) -> str:
    """The request that goes to the CE; why there is none, where it cannot be made."""
    try:
        spec: JobSpec = specs.get(connection, [row.jobspec_id])[row.jobspec_id]
        factory: CEFactory = plugin("act.ce", row.flavour)
        return factory.describe(Submission(row.id, row.token or "act.token", spec, queue))
    except (BadJobSpec, ConfigError, StaleClaim) as error:
        return f"It cannot be shown: {error}"
