"""Counting and listing for the pages: all CEs at once, one CE more closely."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, func, select, true

from act.db.engine import AnyRow
from act.db.schema import breakers, candidates, cejobs, cequeues, ces, events, lanes, proxies
from act.db.schema_operating import cecalls

Rows = Sequence[AnyRow]


def states_by_ce(connection: Connection) -> dict[int, dict[str, int]]:
    """CE -> state -> number of attempts; 0 stands for no CE yet. Read from one index."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    query = select(cejobs.c.ce_id, cejobs.c.state, func.count()).group_by(cejobs.c.state, cejobs.c.ce_id)
    for ce_id, state, n in connection.execute(query):
        found[ce_id or 0][state] = n
    return dict(found)


def waiting_by_cequeue(connection: Connection) -> dict[int, int]:
    """CE queue -> number of attempts that wait and may go there. Read from one index."""
    query = select(candidates.c.cequeue_id, func.count()).where(candidates.c.open == true())
    return {r[0]: r[1] for r in connection.execute(query.group_by(candidates.c.cequeue_id))}


def states_at_cequeues(connection: Connection, ce_id: int) -> dict[int, dict[str, int]]:
    """CE queue -> state -> number of attempts, of one CE. Read from one index."""
    here = select(cequeues.c.id).where(cequeues.c.ce_id == ce_id)
    query = select(cejobs.c.cequeue_id, cejobs.c.state, func.count()).where(cejobs.c.cequeue_id.in_(here))
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for cequeue_id, state, n in connection.execute(query.group_by(cejobs.c.cequeue_id, cejobs.c.state)):
        found[cequeue_id][state] = n
    return dict(found)


def words_of_ce(connection: Connection, ce_id: int) -> list[tuple[str, int]]:
    """(the CE's own word for a state, number of attempts that it last said it of), the most first."""
    number = func.count().label("number")
    query = select(cejobs.c.ce_state, number).where(cejobs.c.ce_id == ce_id, cejobs.c.ce_state.is_not(None))
    return [(word, n) for word, n in connection.execute(query.group_by(cejobs.c.ce_state).order_by(number.desc()))]


def ces_listed(connection: Connection) -> Rows:
    """All CEs by URL."""
    return connection.execute(select(ces).order_by(ces.c.url, ces.c.submit_point, ces.c.flavour)).all()


def cequeues_listed(connection: Connection) -> Rows:
    """All CE queues, by name."""
    return connection.execute(select(cequeues).order_by(cequeues.c.ce_id, cequeues.c.queue)).all()


def breakers_listed(connection: Connection) -> Rows:
    """What every host knows of the health of every CE."""
    return connection.execute(select(breakers).order_by(breakers.c.ce_id, breakers.c.host)).all()


def lanes_listed(connection: Connection) -> Rows:
    """All lanes with the role of their credential."""
    query = select(lanes, proxies.c.role).join(proxies, proxies.c.id == lanes.c.proxy_id)
    return connection.execute(query.order_by(lanes.c.ce_id, proxies.c.role)).all()


def calls_at(connection: Connection, ce_id: int) -> Rows:
    """(call, calls, errors, seconds) of all processes together with one CE, counted from their beginnings."""
    c = cecalls.c
    query = select(c.call, func.sum(c.calls).label("calls"), func.sum(c.errors).label("errors"),
                   func.sum(c.seconds).label("seconds"))  # fmt: skip
    return connection.execute(query.where(c.ce_id == ce_id).group_by(c.call).order_by(c.call)).all()


def orders_told(connection: Connection, order_ids: Sequence[int]) -> Rows:
    """The events of orders, the oldest first."""
    query = select(events).where(events.c.kind == "order", events.c.job_id.in_(order_ids)).order_by(events.c.id)
    return connection.execute(query).all()
