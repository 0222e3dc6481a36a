"""How attempts ended at their CE queues, read from events: what the guard judges by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, and_, delete, func, insert, or_, select

from act.db.engine import now
from act.db.schema import cejobs, events
from act.db.schema_operating import ends
from act.states import DAY, Event

KEPT_S = 2 * DAY
ATTEMPT = "cejob"  # kind of the events of attempts

_BAD = (Event.FAILED, Event.KILLED, Event.GONE)
_AS_ASKED = ("tocancel", "cancelling")


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended. placed: when it was given to its CE queue. ran_s: how long it ran; None: not known."""

    cequeue_id: int
    cejob_id: int
    at: float
    placed: float | None
    node: str
    good: bool
    ran_s: float | None


def gather(connection: Connection, *, after: int, upto: int) -> list[End]:
    """The attempts that ended at a CE of themselves by the events after one and up to another, the oldest first."""
    e, a, before = events.c, cejobs.c, events.alias("before").c
    began = select(func.max(before.at)).where(
        before.kind == ATTEMPT, before.job_id == e.job_id, before.id < e.id, before.event == Event.RUNNING,
        before.source != before.target,
    )  # fmt: skip
    good = e.event == Event.FINISHED
    query = (
        select(e.job_id, e.at, good.label("good"), a.cequeue_id, a.node, a.placed, a.wall_s,
               began.scalar_subquery().label("began"))
        .join(cejobs, a.id == e.job_id)
        .where(e.id > after, e.id <= upto, e.kind == ATTEMPT, a.cequeue_id.is_not(None))
        .where(or_(good, and_(e.event.in_(_BAD), e.source.not_in(_AS_ASKED))))
        .order_by(e.id)
    )  # fmt: skip
    return [
        End(r.cequeue_id, r.job_id, r.at, r.placed, r.node or "", bool(r.good), _ran(r.wall_s, r.began, r.at))
        for r in connection.execute(query)
    ]


def _ran(wall_s: int | None, began: float | None, at: float) -> float | None:
    if wall_s is not None:
        return float(wall_s)
    return at - began if began is not None else None


def keep(connection: Connection, found: Sequence[End], *, most: int) -> None:
    """Write ends down; of each CE queue that they are of, the last ``most`` stay, those of the last days."""
    if not found:
        return
    connection.execute(insert(ends), [_values(end) for end in found])
    for cequeue_id in {end.cequeue_id for end in found}:
        of_queue = ends.c.cequeue_id == cequeue_id
        last = select(ends.c.id).where(of_queue).order_by(ends.c.id.desc()).offset(most).limit(1)
        before = connection.execute(last).scalar() or 0
        connection.execute(delete(ends).where(of_queue, or_(ends.c.id <= before, ends.c.at < now() - KEPT_S)))


def _values(end: End) -> dict[str, object]:
    return {f.name: getattr(end, f.name) for f in fields(End)}


def latest(connection: Connection, cequeue_id: int, *, since: float, limit: int) -> list[End]:
    """How the last attempts at a CE queue ended, since then, the oldest first."""
    query = select(*(ends.c[f.name] for f in fields(End))).where(ends.c.cequeue_id == cequeue_id, ends.c.at > since)
    return [End(*row) for row in connection.execute(query.order_by(ends.c.id.desc()).limit(limit))][::-1]


def fruitless(connection: Connection, *, after: int, upto: int, least: int) -> list[int]:
    """Attempts that ended at a CE without having been armed, by the events after one and up to another, and to which
    that has happened ``least`` times since they were last released.
    """
    e = events.c
    ids = connection.scalars(
        select(e.job_id)
        .join(cejobs, cejobs.c.id == e.job_id)
        .where(e.id > after, e.id <= upto, e.kind == ATTEMPT, e.event == Event.UNARMED, e.target == "tosubmit")
        .where(cejobs.c.submission >= least)
    ).all()
    counted = dict.fromkeys(ids, 0)
    query = select(e.job_id, e.event).where(e.kind == ATTEMPT, e.job_id.in_(ids)).order_by(e.job_id, e.id)
    for row in connection.execute(query) if ids else ():
        if row.event == Event.RELEASE:
            counted[row.job_id] = 0
        elif row.event == Event.UNARMED:
            counted[row.job_id] += 1
    return [i for i, n in counted.items() if n >= least]
