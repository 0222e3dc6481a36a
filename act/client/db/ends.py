"""SQL on how jobs end: what their attempts brought, what is overdue, and how jobs go."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from act.client.db.files import count
from act.client.tables import APP, LEDGER, clientjobs
from act.db import meta
from act.db.engine import AnyRow, chunks, now
from act.db.schema import cejobs, events, jobspecs, results

Rows = Sequence[AnyRow]


def attempts_of(connection: Connection, job_ids: Sequence[int]) -> Rows:
    """All attempts of jobs, job by job, the oldest first."""
    return connection.execute(
        select(cejobs)
        .where(cejobs.c.app == APP, cejobs.c.appjob_id.in_(job_ids))
        .order_by(cejobs.c.appjob_id, cejobs.c.id)
    ).all()


def last_words(connection: Connection, attempt_ids: Sequence[int]) -> dict[int, str]:
    """Attempt -> the last reason in its history, for those that have any."""
    rows = connection.execute(
        select(events.c.job_id, events.c.why)
        .where(events.c.kind == "cejob", events.c.job_id.in_(attempt_ids))
        .order_by(events.c.job_id, events.c.id)
    )
    return {r.job_id: r.why for r in rows if r.why}


def note_results(connection: Connection, jobs: Mapping[int, AnyRow]) -> None:
    """The attempts (key) of these jobs, whose rows are held, have ended: from now on what they brought counts."""
    totals = connection.execute(
        select(results.c.cejob_id, func.count(), func.sum(results.c.size))
        .where(results.c.cejob_id.in_(jobs))
        .group_by(results.c.cejob_id)
    ).all()
    by_user: dict[int, tuple[int, int]] = {}
    for attempt_id, files, size in totals:
        job = jobs[attempt_id]
        c = clientjobs.c
        connection.execute(
            update(clientjobs).where(c.id == job.id).values(files=c.files + files, bytes=c.bytes + int(size))
        )
        before = by_user.get(job.user_id, (0, 0))
        by_user[job.user_id] = (before[0] + files, before[1] + int(size))
    for user_id, (files, size) in sorted(by_user.items()):
        count(connection, user_id, files=files, size=size)


def overdue(connection: Connection, state: str, seconds: float, *, limit: int) -> Rows:
    """Jobs longer in ``state`` than allowed: id, state, version, cejob_id."""
    c = clientjobs.c
    return connection.execute(
        select(c.id, c.state, c.version, c.cejob_id)
        .where(c.state == state, c.since < now() - seconds)
        .order_by(c.since)
        .limit(limit)
    ).all()


def removable(connection: Connection, *, limit: int) -> Rows:
    """Jobs in ``toclean``, the oldest first, all of whose attempts are archived; but for those that rest. Columns: id,
    version, and age_s, how long they have been in this state."""
    c, busy = clientjobs.c, cejobs.alias()
    still = (busy.c.app == APP) & (busy.c.appjob_id == c.id) & (busy.c.state != "archived")
    return connection.execute(
        select(c.id, c.version, (now() - c.since).label("age_s"))
        .outerjoin(busy, still)
        .where(c.state == "toclean", busy.c.id.is_(None), func.coalesce(c.claimed_until, 0) < now())
        .order_by(c.since)
        .limit(limit)
    ).all()


def rest(connection: Connection, ids: Sequence[int], for_s: float) -> None:
    """Leave jobs alone for a while that cannot be removed now, so that others have their turn."""
    connection.execute(update(clientjobs).where(clientjobs.c.id.in_(ids)).values(claimed_until=now() + for_s))


def drop(connection: Connection, rows: Rows) -> None:
    """Delete jobs, whose rows are held, with all that is in the database of them and their attempts."""
    ids = [r.id for r in rows]
    old = connection.execute(
        select(cejobs.c.id, cejobs.c.jobspec_id).where(cejobs.c.app == APP, cejobs.c.appjob_id.in_(ids))
    ).all()
    if old:
        attempt_ids = [a.id for a in old]
        meta.note_archived(connection, max(attempt_ids))
        connection.execute(delete(cejobs).where(cejobs.c.id.in_(attempt_ids)))
        connection.execute(delete(jobspecs).where(jobspecs.c.id.in_([a.jobspec_id for a in old])))
        _forget_events(connection, "cejob", attempt_ids)
    connection.execute(delete(clientjobs).where(clientjobs.c.id.in_(ids)))
    _forget_events(connection, LEDGER.kind, ids)
    for user_id in sorted({r.user_id for r in rows}):
        mine = [r for r in rows if r.user_id == user_id]
        count(connection, user_id, jobs=-len(mine), files=-sum(r.files for r in mine), size=-sum(r.bytes for r in mine))


def _forget_events(connection: Connection, kind: str, ids: Sequence[int]) -> None:
    connection.execute(delete(events).where(events.c.kind == kind, events.c.job_id.in_(ids)))


def highest_job(connection: Connection) -> int:
    """The highest number of a job that is here."""
    return int(connection.execute(select(func.max(clientjobs.c.id))).scalar() or 0)


def gone_jobs(connection: Connection, ids: Collection[int]) -> set[int]:
    """Those of the jobs that are not here any more."""
    return set(ids) - _there(connection, clientjobs.c.id, ids)


def gone_attempts(connection: Connection, ids: Collection[int]) -> set[int]:
    """Those of the attempts that are not here any more, whatever they were for."""
    return set(ids) - _there(connection, cejobs.c.id, ids)


def _there(connection: Connection, column: ColumnElement[int], ids: Collection[int]) -> set[int]:
    found: set[int] = set()
    for part in chunks(sorted(ids)):
        found.update(connection.scalars(select(column).where(column.in_(part))))
    return found
