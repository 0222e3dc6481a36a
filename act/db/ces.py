"""CEs, their queues and the circuit breakers of this host towards them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from act.db.engine import AnyRow, inserted_id, now
from act.db.schema import breakers, cequeues, ces


def ensure(connection: Connection, flavour: str, url: str, queue: str, submit_point: str = "") -> int:
    """The id of a CE queue; made, and its CE too, where it is new."""
    found = connection.execute(
        select(ces.c.id).where(ces.c.flavour == flavour, ces.c.url == url, ces.c.submit_point == submit_point)
    ).scalar()
    ce_id = found or _insert(connection, ces, flavour=flavour, url=url, submit_point=submit_point)
    where = (cequeues.c.ce_id == ce_id, cequeues.c.queue == queue)
    known = connection.execute(select(cequeues.c.id).where(*where)).scalar()
    return int(known or _insert(connection, cequeues, ce_id=ce_id, queue=queue))


def _insert(connection: Connection, table: Any, **values: Any) -> int:
    return inserted_id(connection.execute(insert(table).values(**values)))


def get(connection: Connection, ce_id: int) -> AnyRow:
    """One CE."""
    return connection.execute(select(ces).where(ces.c.id == ce_id)).one()


def all_of(connection: Connection) -> Sequence[AnyRow]:
    """All CEs with the state of every host's breaker, for people."""
    return connection.execute(
        select(ces, breakers).outerjoin(breakers, breakers.c.ce_id == ces.c.id).order_by(ces.c.url)
    ).all()


def queues(connection: Connection, ce_id: int) -> Sequence[AnyRow]:
    """The queues of a CE that take jobs now, with its URL."""
    full = or_(cequeues.c.full_until.is_(None), cequeues.c.full_until < now())
    return connection.execute(
        select(cequeues, ces.c.url)
        .join(ces, ces.c.id == cequeues.c.ce_id)
        .where(cequeues.c.ce_id == ce_id, cequeues.c.status == "online", full)
    ).all()


def queues_at(connection: Connection, ids: Collection[int]) -> Sequence[AnyRow]:
    """CE queues by number, with the URLs of their CEs."""
    query = select(cequeues, ces.c.url).join(ces, ces.c.id == cequeues.c.ce_id).where(cequeues.c.id.in_(ids))
    return connection.execute(query.order_by(cequeues.c.id)).all()


def places(connection: Connection, ids: Collection[int]) -> dict[int, tuple[str, str]]:
    """CE id -> URL and submit point."""
    rows = connection.execute(select(ces.c.id, ces.c.url, ces.c.submit_point).where(ces.c.id.in_(ids)))
    return {r.id: (r.url, r.submit_point) for r in rows}


def urls(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """CE id -> URL."""
    return {r.id: r.url for r in connection.execute(select(ces.c.id, ces.c.url).where(ces.c.id.in_(ids)))}


def queue_names(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """CE queue id -> name of the queue."""
    return {r.id: r.queue for r in connection.execute(select(cequeues).where(cequeues.c.id.in_(ids)))}


def set_full(connection: Connection, ce_id: int, for_s: float) -> None:
    """The CE takes no more jobs: leave its queues alone for a while."""
    connection.execute(update(cequeues).where(cequeues.c.ce_id == ce_id).values(full_until=now() + for_s))


def shut(connection: Connection, host: str) -> dict[int, bool]:
    """CEs this host must leave alone -> whether the breaker's time is up, so that one lane may probe."""
    rows = connection.execute(
        select(breakers.c.ce_id, (breakers.c.open_until <= now()).label("due")).where(
            breakers.c.host == host, breakers.c.open_until.is_not(None)
        )
    )
    return {r.ce_id: bool(r.due) for r in rows}


def try_half_open(connection: Connection, ce_id: int, host: str, for_s: float) -> bool:
    """Become the one that probes; False if another was faster."""
    result = connection.execute(
        update(breakers)
        .where(breakers.c.ce_id == ce_id, breakers.c.host == host, breakers.c.open_until <= now())
        .values(open_until=now() + for_s)
    )
    return result.rowcount == 1


def failed(
    connection: Connection, ce_id: int, host: str, error: str, *, threshold: int, open_s: float, max_open_s: float
) -> bool:
    """Count a failure; True if the breaker is (now) open. It opens longer with every failure past the threshold."""
    where = (breakers.c.ce_id == ce_id, breakers.c.host == host)
    failures = connection.execute(select(breakers.c.failures).where(*where).with_for_update()).scalar()
    if failures is None:
        connection.execute(insert(breakers).values(ce_id=ce_id, host=host))
        failures = 0
    failures += 1
    values: dict[str, Any] = {"failures": failures, "last_error": error[:2000], "last_error_at": now()}
    is_open = failures >= threshold
    if is_open:
        values["open_until"] = now() + min(max_open_s, open_s * 2 ** min(failures - threshold, 20))
    connection.execute(update(breakers).where(*where).values(**values))
    return is_open


def good(connection: Connection, ce_id: int, host: str) -> None:
    """The CE answered: close the breaker."""
    values = {"failures": 0, "open_until": None, "last_good": now()}
    where = (breakers.c.ce_id == ce_id, breakers.c.host == host)
    if connection.execute(update(breakers).where(*where).values(**values)).rowcount == 0:
        connection.execute(insert(breakers).values(ce_id=ce_id, host=host, last_good=now()))
