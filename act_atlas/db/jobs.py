"""All SQL on PanDA jobs that are not over yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, case, func, insert, null, select, update
from sqlalchemy.exc import IntegrityError

from act.db import meta, moves
from act.db.engine import AnyRow, chunks, now
from act.db.moves import Move
from act.db.schema import archive
from act.db.schema import cejobs as attempts
from act_atlas.db.tables import LEDGER, SOURCE, pandajob_states, pandajobs
from act_atlas.panda import Acquired, AcquiredJob, MalformedJob
from act_atlas.states import PANDAJOB, TO_REPORT, WAITING

Rows = Sequence[AnyRow]


def initialise(connection: Connection) -> None:
    """Legal states."""
    meta.legal(connection, pandajob_states, PANDAJOB.states)


def add(connection: Connection, queue: str, answer: Acquired, *, heartbeat_in_s: float, who: str) -> list[int]:
    """Take jobs that PanDA handed over; those that are here already are left as they are. Returns the new ids.

    A job that makes no sense is taken too, if it has a number, so that PanDA hears of its failure.
    """
    wanted = {j.pandaid: _good_row(j) for j in answer.jobs}
    wanted |= {m.pandaid: _bad_row(m) for m in answer.malformed if m.pandaid is not None and m.pandaid not in wanted}
    query = select(pandajobs.c.pandaid).where(pandajobs.c.source == SOURCE, pandajobs.c.pandaid.in_(wanted))
    gone = select(archive.c.external_id).where(
        archive.c.source == SOURCE, archive.c.external_id.in_([str(i) for i in wanted])
    )
    known = {*connection.scalars(query), *(int(i) for i in connection.scalars(gone))}
    shared = {"source": SOURCE, "queue": queue, "state": PANDAJOB.initial}
    rows = [{**shared, "pandaid": i, **row} for i, row in wanted.items() if i not in known]
    if not rows:
        return []
    try:
        with connection.begin_nested():
            connection.execute(insert(pandajobs).values(since=now(), created=now(), due=now() + heartbeat_in_s), rows)
    except IntegrityError:
        return []  # somebody else has just taken the same answer from the store; no job is in two
    ids = list(
        connection.scalars(
            select(pandajobs.c.id)
            .where(pandajobs.c.source == SOURCE, pandajobs.c.pandaid.in_([r["pandaid"] for r in rows]))
            .order_by(pandajobs.c.id)
        )
    )
    moves.note(connection, LEDGER.kind, [(i, PANDAJOB.initial, f"from queue {queue}") for i in ids], who=who)
    return ids


def _good_row(job: AcquiredJob) -> dict[str, Any]:
    f = job.fields
    facts = {"label": f.text("prodSourceLabel")[:30], "priority": f.priority or 0, "cores": f.cores}
    return {"attempt_nr": job.attempt_nr, "job": job.urlencoded(), "metadata": {}, **facts}


def _bad_row(job: MalformedJob) -> dict[str, Any]:
    facts = {"label": "", "priority": 0, "cores": 1, "metadata": {"malformed": job.reason}}
    return {"attempt_nr": job.attempt_nr or 0, "job": job.raw, **facts}


def move(connection: Connection, wanted: Sequence[Move], *, who: str, holder: str | None = None) -> dict[int, str]:
    """`act.db.moves.move` for PanDA jobs."""
    return moves.move(connection, LEDGER, wanted, who=who, holder=holder)


def get(connection: Connection, ids: Sequence[int], *, lock: bool = False) -> dict[int, AnyRow]:
    """Rows by id, those that exist."""
    query = select(pandajobs).where(pandajobs.c.id.in_(ids)).order_by(pandajobs.c.id)
    return {r.id: r for r in connection.execute(query.with_for_update() if lock else query)}


def claim(
    connection: Connection, state: str, queues: Sequence[str], *, holder: str, lease_s: float, limit: int
) -> Rows:
    """Take jobs of these queues in ``state`` that nobody holds, the oldest first."""
    ids = connection.scalars(
        select(pandajobs.c.id)
        .where(pandajobs.c.state == state, pandajobs.c.queue.in_(queues))
        .where(func.coalesce(pandajobs.c.claimed_until, 0) < now())
        .order_by(pandajobs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not ids:
        return []
    connection.execute(
        update(pandajobs).where(pandajobs.c.id.in_(ids)).values(claimed_by=holder, claimed_until=now() + lease_s)
    )
    return connection.execute(select(pandajobs).where(pandajobs.c.id.in_(ids)).order_by(pandajobs.c.id)).all()


def release(connection: Connection, ids: Sequence[int], *, holder: str, after_s: float) -> None:
    """Give up a claim; the rows rest for ``after_s``."""
    connection.execute(
        update(pandajobs)
        .where(pandajobs.c.id.in_(ids), pandajobs.c.claimed_by == holder)
        .values(claimed_by=None, claimed_until=now() + after_s)
    )


def set_values(connection: Connection, ids: Sequence[int], **values: Any) -> None:
    """Write columns that are no state."""
    for part in chunks(list(ids)):
        connection.execute(update(pandajobs).where(pandajobs.c.id.in_(part)).values(**values))


def take_due(connection: Connection, *, limit: int, again_s: float) -> Rows:
    """Jobs that PanDA must hear of now, the longest overdue first. Others leave them alone for ``again_s``."""
    rows = connection.execute(
        select(pandajobs)
        .where(pandajobs.c.due <= now())
        .order_by(pandajobs.c.due)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        set_values(connection, [r.id for r in rows], due=now() + again_s)
    return rows


def told(connection: Connection, states: Mapping[int, str], *, next_s: float) -> None:
    """PanDA took these states; the next word is due in ``next_s``, where the tower still speaks for the job."""
    by_state: dict[str, list[int]] = {}
    for i, state in states.items():
        by_state.setdefault(state, []).append(i)
    for state, ids in by_state.items():
        connection.execute(
            update(pandajobs)
            .where(pandajobs.c.id.in_(ids))
            .values(
                told=state,
                told_at=now(),
                due=case((pandajobs.c.due.is_not(None), now() + next_s), else_=null()),
            )
        )


def waiting_and_running(connection: Connection, queue: str | None = None) -> dict[str, tuple[int, int]]:
    """Queue (one, or all that have any) -> (jobs that wait, jobs that run)."""
    query = (
        select(pandajobs.c.queue, pandajobs.c.state, func.count())
        .where(pandajobs.c.state.in_((*WAITING, "running", "transferring")))
        .group_by(pandajobs.c.state, pandajobs.c.queue)
    )
    rows = connection.execute(query if queue is None else query.where(pandajobs.c.queue == queue))
    found: dict[str, tuple[int, int]] = {}
    for queue, state, n in rows:
        waiting, running = found.get(queue, (0, 0))
        found[queue] = (waiting + n, running) if state in WAITING else (waiting, running + n)
    return found


def counts(connection: Connection) -> list[tuple[str, str, int, int]]:
    """(queue, state, number of jobs, their cores), for people. Read from one index, in its order."""
    j = pandajobs.c
    query = select(j.queue, j.state, func.count(), func.sum(j.cores)).group_by(j.state, j.queue)
    return [(queue, state, n, int(cores)) for queue, state, n, cores in connection.execute(query)]


def overdue(connection: Connection, state: str, seconds: float, *, limit: int) -> Rows:
    """Jobs longer in ``state`` than allowed."""
    return connection.execute(
        select(pandajobs)
        .where(pandajobs.c.state == state, pandajobs.c.since < now() - seconds)
        .order_by(pandajobs.c.since)
        .limit(limit)
    ).all()


def find(connection: Connection, pandaid: int) -> AnyRow | None:
    """A job by its PanDA id."""
    return connection.execute(
        select(pandajobs).where(pandajobs.c.source == SOURCE, pandajobs.c.pandaid == pandaid)
    ).first()


def listing(connection: Connection, *, states: Sequence[str] = (), queue: str | None = None, limit: int = 100) -> Rows:
    """Jobs for people, the newest first."""
    query = select(pandajobs).order_by(pandajobs.c.id.desc()).limit(limit)
    if states:
        query = query.where(pandajobs.c.state.in_(states))
    if queue is not None:
        query = query.where(pandajobs.c.queue == queue)
    return connection.execute(query).all()


def heartbeats_due(connection: Connection) -> tuple[int, float]:
    """(how many jobs PanDA should have heard of by now, the oldest such debt in seconds), for people."""
    row = connection.execute(
        select(func.count(), now() - func.min(pandajobs.c.due)).where(pandajobs.c.due <= now())
    ).one()
    return int(row[0]), float(row[1] or 0.0)


def unheard(
    connection: Connection, *, first_s: float, next_s: float, final_s: float, retry_s: float
) -> tuple[int, float]:
    """(how many jobs PanDA has not heard of for too long, the longest such silence in seconds).

    Too long: for first_s since they came, next_s since it took the last word, final_s since their end. A job that is
    tried in vain is due again within retry_s.
    """
    j = pandajobs.c
    heard = case((j.told_at > j.since, j.told_at), else_=j.since)
    allowed = case((j.state.in_(TO_REPORT), final_s), (j.told.is_(None), first_s), else_=next_s)
    row = connection.execute(
        select(func.count(), now() - func.min(heard))
        .where(j.due <= now() + retry_s, now() - heard > allowed)
        .where(j.sendhb | j.state.in_(TO_REPORT))
    ).one()
    return int(row[0]), float(row[1] or 0.0)


def to_report(connection: Connection) -> int:
    """Jobs whose end PanDA has not acknowledged yet, for people."""
    query = select(func.count()).select_from(pandajobs).where(pandajobs.c.state.in_(TO_REPORT))
    return int(connection.execute(query).scalar_one())


def staging_out(connection: Connection, after_s: float, *, limit: int) -> Rows:
    """Running jobs the tower speaks for whose attempts have been staging out for ``after_s``."""
    return connection.execute(
        select(pandajobs.c.id, pandajobs.c.version)
        .join(attempts, (attempts.c.appjob_id == pandajobs.c.id) & (attempts.c.id == pandajobs.c.cejob_id))
        .where(attempts.c.state == "finishing", attempts.c.since < now() - after_s, attempts.c.app == SOURCE)
        .where(pandajobs.c.state == "running", ~pandajobs.c.truepilot)
        .order_by(attempts.c.since)
        .limit(limit)
    ).all()
