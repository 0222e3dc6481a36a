"""The core's own figures: attempts by state, the oldest of each, what happened lately, calls to CEs."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, and_, bindparam, func, null, or_, select, update

from act.db import ces, survey
from act.db.engine import AnyRow, now
from act.db.schema import cejobs, events
from act.db.schema_operating import cecalls
from act.figures import CE, TOWER, Figure
from act.states import CEJOB

SETTLED_S = 5.0  # no transaction that writes events stays open for so long
NEW = "new"  # a job came in
_ALIVE = [state for state in CEJOB.states if state not in CEJOB.final]


def levels(connection: Connection) -> Iterator[Figure]:
    """Attempts by state, of all the tower and of each CE (by URL); the age in seconds of the oldest in each state.

    Keys: ``<state>`` and ``oldest <state> s``. Attempts in tosubmit wait for any CE.
    """
    urls = {row.id: row.url for row in survey.ces_listed(connection)}
    for ce_id, states in survey.states_by_ce(connection).items():
        for state, n in states.items():
            if state in CEJOB.final:
                continue
            yield Figure(TOWER, "", state, n)
            if ce_id in urls:
                yield Figure(CE, urls[ce_id], state, n)
    for state, age_s in oldest(connection).items():
        yield Figure(TOWER, "", f"oldest {state} s", age_s)


def oldest(connection: Connection) -> dict[str, float]:
    """State -> for how many seconds the oldest attempt has been in it; only states that have any."""
    ages = [
        (now() - select(func.min(cejobs.c.since)).where(cejobs.c.state == state).scalar_subquery()).label(state)
        for state in _ALIVE
    ]
    row = connection.execute(select(*ages)).one()
    return {state: max(0.0, age_s) for state, age_s in zip(_ALIVE, row, strict=True) if age_s is not None}


def settled(connection: Connection, after: int) -> int:
    """The number of the last event after that one which no other can come before any more; else ``after``."""
    found = connection.execute(
        select(events.c.id)
        .where(events.c.id > after, events.c.at <= now() - SETTLED_S)
        .order_by(events.c.id.desc())
        .limit(1)
    ).scalar()
    return after if found is None else int(found)


def moves(connection: Connection, after: int, upto: int, within_s: float) -> Iterator[Figure]:
    """How many jobs came to each state, by the events after one and up to another that are no older than that.

    Keys: ``+<state>`` of attempts, of all the tower and of each CE; ``+<kind> <state>`` of other jobs. The state of
    those that came in is called ``new``.
    """
    e = events.c
    came = e.event == "insert"
    attempt = and_(e.kind == "cejob", cejobs.c.id == e.job_id)
    query = (
        select(e.kind, came.label("came"), e.target, cejobs.c.ce_id, func.count().label("n"))
        .select_from(events.outerjoin(cejobs, attempt))
        .where(e.id > after, e.id <= upto, e.at >= now() - within_s, or_(came, e.source != e.target))
        .group_by(e.kind, came, e.target, cejobs.c.ce_id)
        .order_by(null())  # else MariaDB sorts groups
    )
    rows = connection.execute(query).all()
    urls = ces.urls(connection, {row.ce_id for row in rows if row.ce_id is not None})
    for row in rows:
        state = NEW if row.came else row.target
        yield Figure(TOWER, "", f"+{state}" if row.kind == "cejob" else f"+{row.kind} {state}", row.n)
        if row.ce_id is not None:
            yield Figure(CE, urls[row.ce_id], f"+{state}", row.n)


def calls(connection: Connection) -> list[Figure]:
    """What was done with each CE since this was last called; for the one that keeps figures, where it keeps them.

    Keys: ``+<call> calls``, ``+<call> errors``, ``+<call> s`` (seconds all calls took together).
    """
    c = cecalls.c
    rows = connection.execute(select(cecalls).where(c.calls != c.noted_calls)).all()
    if not rows:
        return []
    keys = [column.name for column in cecalls.primary_key]
    this = [cecalls.c[name] == bindparam(f"_{name}") for name in keys]
    counted = ("calls", "errors", "seconds")
    connection.execute(
        update(cecalls).where(*this).values({f"noted_{n}": bindparam(f"_{n}") for n in counted}),
        [{f"_{name}": row._mapping[name] for name in (*keys, *counted)} for row in rows],
    )
    urls = ces.urls(connection, {row.ce_id for row in rows})
    return [figure for row in rows for figure in _of_call(row, urls[row.ce_id])]


def _of_call(row: AnyRow, url: str) -> Iterator[Figure]:
    for key, value in (
        ("calls", row.calls - row.noted_calls),
        ("errors", row.errors - row.noted_errors),
        ("s", row.seconds - row.noted_seconds),
    ):
        yield Figure(CE, url, f"+{row.call} {key}", max(0, value))  # less than before: it was counted from anew
