"""The table of PanDA jobs and all SQL on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    case,
    delete,
    func,
    insert,
    null,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from act.db import cejobs, meta, moves
from act.db.engine import AnyRow, chunks, now
from act.db.moves import Ledger, Move
from act.db.schema import BigId, LongText, archive, events, jobspecs, metadata, state_columns
from act.db.schema import cejobs as attempts
from act_atlas.panda import Acquired, AcquiredJob, MalformedJob
from act_atlas.states import PANDAJOB, TO_REPORT, WAITING

SOURCE = "panda"

pandajob_states = Table("pandajob_states", metadata, Column("name", String(16), primary_key=True))

pandajobs = Table(
    "pandajobs",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("source", String(50), nullable=False),
    Column("pandaid", BigInteger, nullable=False),
    Column("queue", String(100), nullable=False),
    Column("label", String(30), nullable=False),
    *state_columns(pandajob_states),
    Column("created", Double, nullable=False),
    Column("due", Double),  # when PanDA wants to hear of it next
    Column("told", String(20)),  # the last state PanDA took from us
    Column("told_at", Double),
    Column("sendhb", Boolean, nullable=False, server_default="1"),  # the tower speaks, not the pilot
    Column("attempt_nr", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("job", LongText, nullable=False),  # as dispatched, url-encoded
    Column("metadata", JSON, nullable=False),
    Column("cejob_id", BigInteger),  # the current attempt
    Column("computing_element", String(255)),
    Column("node", String(255)),
    Column("start_time", Double),
    Column("end_time", Double),
    Column("error_code", Integer),
    Column("error_diag", Text),
    Column("exit_code", Integer),
    UniqueConstraint("source", "pandaid"),
    Index(None, "due"),
    Index(None, "state", "queue"),
    Index(None, "state", "since"),
    Index(None, "state", "id"),
    Index(None, "claimed_by"),
    sqlite_autoincrement=True,
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

LEDGER = Ledger("pandajob", PANDAJOB, pandajobs)
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


def counts(connection: Connection) -> list[tuple[str, str, int]]:
    """(queue, state, number of jobs), for people."""
    query = select(pandajobs.c.queue, pandajobs.c.state, func.count()).group_by(pandajobs.c.queue, pandajobs.c.state)
    return [(q, s, n) for q, s, n in connection.execute(query)]


def overdue(connection: Connection, state: str, seconds: float, *, limit: int) -> Rows:
    """Jobs longer in ``state`` than allowed."""
    return connection.execute(
        select(pandajobs)
        .where(pandajobs.c.state == state, pandajobs.c.since < now() - seconds)
        .order_by(pandajobs.c.since)
        .limit(limit)
    ).all()


def to_archive(connection: Connection, *, after_s: float, limit: int) -> Rows:
    """Jobs that ended at least ``after_s`` ago and of which no attempt has anything left to do, locked."""
    busy = attempts.alias()
    still = (busy.c.app == SOURCE) & (busy.c.appjob_id == pandajobs.c.id) & (busy.c.state != "archived")
    ids: list[int] = []
    for state in sorted(PANDAJOB.final):
        ids += connection.scalars(
            select(pandajobs.c.id)
            .outerjoin(busy, still)
            .where(pandajobs.c.state == state, pandajobs.c.since < now() - after_s, busy.c.id.is_(None))
            .order_by(pandajobs.c.since)
            .limit(limit - len(ids))
        )
    return connection.execute(
        select(pandajobs).where(pandajobs.c.id.in_(ids)).order_by(pandajobs.c.id).with_for_update(skip_locked=True)
    ).all()


def archive_rows(connection: Connection, rows: Rows) -> None:
    """Fold jobs, their attempts and events into the archive, and delete them."""
    ids = [r.id for r in rows]
    old = connection.execute(
        select(attempts)
        .where(attempts.c.app == SOURCE, attempts.c.appjob_id.in_(ids))
        .order_by(attempts.c.appjob_id, attempts.c.id)
    ).all()
    stories = {(LEDGER.kind, r.id): _story(r) for r in rows} | {("cejob", a.id): _story(a) for a in old}
    for kind, kind_ids in ((LEDGER.kind, ids), ("cejob", [a.id for a in old])):
        for e in cejobs.history(connection, kind, kind_ids):
            stories[kind, e.job_id]["events"].append([e.at, e.source, e.event, e.target, e.who, e.why])
    connection.execute(
        insert(archive).values(ended=now()),
        [
            {
                "source": r.source,
                "external_id": str(r.pandaid),
                "queue": r.queue,
                "state": r.state,
                "created": r.created,
                "history": {
                    "job": stories[LEDGER.kind, r.id],
                    "attempts": [stories["cejob", a.id] for a in old if a.appjob_id == r.id],
                },
            }
            for r in rows
        ],
    )
    if old:
        meta.note_archived(connection, max(a.id for a in old))
        connection.execute(delete(attempts).where(attempts.c.id.in_([a.id for a in old])))
        connection.execute(delete(jobspecs).where(jobspecs.c.id.in_([a.jobspec_id for a in old])))
        _forget_events(connection, "cejob", [a.id for a in old])
    connection.execute(delete(pandajobs).where(pandajobs.c.id.in_(ids)))
    _forget_events(connection, LEDGER.kind, ids)


def prune_archive(connection: Connection, older_than_s: float, *, limit: int) -> int:
    """Delete archive rows that ended longer ago; returns how many."""
    ids = connection.scalars(select(archive.c.id).where(archive.c.ended < now() - older_than_s).limit(limit)).all()
    if ids:
        connection.execute(delete(archive).where(archive.c.id.in_(ids)))
    return len(ids)


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


_KEPT = ("id", "attempt", "flavour", "ce_job_id", "exit_code", "error", "node", "wall_s", "cpu_s", "pandaid",
         "attempt_nr", "label", "told", "error_code", "error_diag")  # fmt: skip


def _story(row: AnyRow) -> dict[str, Any]:
    """What is worth keeping of a row for good."""
    facts = row._asdict()
    return {k: facts[k] for k in _KEPT if facts.get(k) is not None} | {"events": []}


def _forget_events(connection: Connection, kind: str, ids: Sequence[int]) -> None:
    connection.execute(delete(events).where(events.c.kind == kind, events.c.job_id.in_(ids)))


def heartbeats_due(connection: Connection) -> tuple[int, float]:
    """(how many jobs PanDA should have heard of by now, the oldest such debt in seconds), for people."""
    row = connection.execute(
        select(func.count(), now() - func.min(pandajobs.c.due)).where(pandajobs.c.due <= now())
    ).one()
    return int(row[0]), float(row[1] or 0.0)


def to_report(connection: Connection) -> int:
    """Jobs whose end PanDA has not acknowledged yet, for people."""
    query = select(func.count()).select_from(pandajobs).where(pandajobs.c.state.in_(TO_REPORT))
    return int(connection.execute(query).scalar_one())
