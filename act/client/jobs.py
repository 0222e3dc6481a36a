"""All that a caller may do with jobs, and see of them: what is served to users is here, and nothing else is.

A caller has the jobs that this user submitted, from whatever session. Other people's are not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from sqlalchemy import Connection

from act.client import build, db
from act.client.identity import Caller
from act.client.intake import Intake
from act.client.model import (
    Filter,
    Happening,
    JobDetail,
    JobNotFound,
    JobRow,
    Live,
    Place,
    QuotaExceeded,
    ResultFile,
    StoredFile,
    Usage,
)
from act.client.tables import APP, LEDGER
from act.client.wishes import Wishes
from act.config import CoreConfig
from act.db import cejobs, results
from act.db.engine import AnyRow, Database
from act.errors import OutputMissing
from act.explain import ask
from act.explain.moment import Moment
from act.explain.story import Story
from act.storage import Store, live_name, result_name

MB = 1_000_000
WATCH_S = 60.0  # so long after a look it is expected that somebody looks again
MAX_WATCHES = 50  # files that one user looks at; each is fetched every few seconds
_MOST = 10_000  # jobs on one page
_COMING = ("finished", "failed", "tofetch")


class Jobs(Intake, Wishes):
    """What users do. Methods that concern one job raise JobNotFound if the caller has no such job."""

    def __init__(self, config: CoreConfig, database: Database, store: Store) -> None:
        Intake.__init__(self, config, database, store)

    def places(self, caller: Caller) -> list[Place]:
        """The CE queues that the caller may choose."""
        status = self._config.ces.at
        return [
            Place(ce.name, ce.location, ce.flavour, ce.queue, ce.url, status(ce.url).status)
            for ce in self._allowed(caller)
        ]

    def usage(self, caller: Caller) -> Usage:
        """What the caller has, and may have."""
        jobs, files, size = self._db.read("usage", lambda c: db.usage(c, caller.user_id))
        users = self._config.users
        quota = users.quota_of(caller.groups)
        return Usage(jobs, files, size / MB, quota.max_jobs, quota.max_files, quota.max_mb, users.max_file_mb)

    def find(self, caller: Caller, wanted: Filter, *, after: int = 0, limit: int = 1000) -> list[JobRow]:
        """The caller's jobs that a filter lets through, by id; at most ``limit``, with an id above ``after``."""
        most = min(limit, _MOST)
        return self._db.read("find", lambda c: db.listing(c, caller.user_id, wanted, after=after, limit=most))

    def one(self, caller: Caller, job_id: int) -> JobDetail:
        """One job with its history."""

        def work(c: Connection) -> JobDetail:
            row = self._row(c, caller, job_id)
            (found,) = db.listing(c, caller.user_id, Filter(ids=(job_id,)), after=0, limit=1)
            attempts = db.attempts_of(c, [job_id])
            files = db.files_of(c, [job_id]).get(job_id, [])
            events = [
                *cejobs.history(c, LEDGER.kind, [job_id]),
                *cejobs.history(c, cejobs.LEDGER.kind, [a.id for a in attempts]),
            ]
            return JobDetail(
                row=found,
                description=row.description or "",
                language=row.language,
                history=[_happening(e) for e in sorted(events, key=lambda e: e.at)],
                inputs=[StoredFile(f.name, f.size, f.sha256) for f in files],
                results=_brought(c, row),
                attempts=attempts,
            )

        return self._db.snapshot("one", work)

    def results(self, caller: Caller, job_id: int) -> list[ResultFile]:
        """The files of the current attempt that are here, by name."""
        return self._db.read("results", lambda c: _brought(c, self._row(c, caller, job_id)))

    @contextmanager
    def open_result(self, caller: Caller, job_id: int, name: str) -> Iterator[tuple[BinaryIO, ResultFile]]:
        """One of `results`, to be read. Raises OutputMissing if there is none of that name."""
        row = self._db.read("result", lambda c: self._row(c, caller, job_id))
        found = self._db.read("results", lambda c: _brought(c, row))
        file = next((f for f in found if f.name == name), None)
        if file is None:
            raise OutputMissing(f"job {job_id} has no result {name}")
        with self._store.open(result_name(row.cejob_id, name)) as body:
            yield body, file

    def live(self, caller: Caller, job_id: int, name: str) -> Live:
        """What there is by now of a file of a job; from now on it is brought here again and again, for a while.

        name: ``stdout`` and ``stderr`` mean the job's streams, whatever they are called.
        """
        return self._db.run("live", lambda c: self._live(c, caller, self._row(c, caller, job_id), name))

    def explain(self, caller: Caller, job_id: int) -> list[Story]:
        """Why a job is as it is, and what happens next."""

        def work(c: Connection) -> list[Story]:
            self._row(c, caller, job_id)
            moment = Moment.read(c, self._config, None, None)
            return [ask.by_row(c, moment, f"{APP}:{job_id}")]

        return self._db.snapshot("explain", work)

    def _row(self, connection: Connection, caller: Caller, job_id: int) -> AnyRow:
        row = db.rows_of(connection, caller.user_id, [job_id], whole=True).get(job_id)
        if row is None or row.state == "toclean":
            raise JobNotFound(f"there is no job {job_id}")
        return row

    def _live(self, connection: Connection, caller: Caller, row: AnyRow, asked: str) -> Live:
        name = {"stdout": row.stdout, "stderr": row.stderr or row.stdout}.get(asked, asked)
        attempt = cejobs.get(connection, [row.cejob_id]).get(row.cejob_id) if row.cejob_id is not None else None
        over = row.state not in ("begun", "sent", "active")
        if not name or attempt is None:
            return Live(row.shown, 0, None, over)
        build.check_file_name(name)
        file = next((f for f in results.brought(connection, attempt.id) if f.name == name), None)
        if file is not None:
            return Live(row.shown, file.size, partial(self._store.open, result_name(attempt.id, name)), True)
        if attempt.state in results.GROWING:
            self._watch(connection, caller, attempt.id, name)
        elif attempt.state not in _COMING:
            return Live(row.shown, 0, None, over)
        copy = results.watched(connection, attempt.id, name)
        if copy is None or copy.size is None:
            return Live(row.shown, 0, None, False)
        return Live(row.shown, copy.size, partial(self._store.open, live_name(attempt.id, name)), False)

    def _watch(self, connection: Connection, caller: Caller, attempt_id: int, name: str) -> None:
        known = results.watched(connection, attempt_id, name)
        if known is None and db.watching(connection, caller.user_id) >= MAX_WATCHES:
            raise QuotaExceeded(f"you look at {MAX_WATCHES} files of running jobs: leave some of them first")
        results.watch(connection, attempt_id, name, WATCH_S)


def _brought(connection: Connection, row: AnyRow) -> list[ResultFile]:
    return results.brought(connection, row.cejob_id) if row.cejob_id is not None else []


def _happening(event: AnyRow) -> Happening:
    of = "job" if event.kind == LEDGER.kind else f"attempt {event.job_id}"
    return Happening(event.at, of, event.source, event.event, event.target, event.who, event.why)
