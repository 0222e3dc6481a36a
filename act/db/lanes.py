"""Lanes: what a CE and a credential are to each other. One row per pair that ever had a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, case, insert, or_, select, update

from act.db.engine import AnyRow, now
from act.db.schema import ces, lanes


def ensure(connection: Connection, ce_id: int, proxy_id: int) -> None:
    """Make the row where it is new."""
    where = (lanes.c.ce_id == ce_id, lanes.c.proxy_id == proxy_id)
    if connection.execute(select(lanes.c.ce_id).where(*where)).first() is None:
        connection.execute(insert(lanes).values(ce_id=ce_id, proxy_id=proxy_id))


def due(connection: Connection, flavour: str, column: str, interval_s: float) -> list[tuple[int, int]]:
    """Lanes whose time stamp ``column`` ("polled", "swept") is older than the interval."""
    stamp = lanes.c[column]
    rows = connection.execute(
        select(lanes.c.ce_id, lanes.c.proxy_id)
        .join(ces, ces.c.id == lanes.c.ce_id)
        .where(ces.c.flavour == flavour, or_(stamp.is_(None), stamp < now() - interval_s))
    )
    return [(r.ce_id, r.proxy_id) for r in rows]


def paused(connection: Connection) -> set[tuple[int, int]]:
    """Lanes that must rest because the CE refuses the credential."""
    rows = connection.execute(select(lanes.c.ce_id, lanes.c.proxy_id).where(lanes.c.paused_until > now()))
    return {(r.ce_id, r.proxy_id) for r in rows}


def pause(connection: Connection, ce_id: int, proxy_id: int, for_s: float, error: str) -> None:
    """Leave the pair alone for a while and say why."""
    ensure(connection, ce_id, proxy_id)
    _set(connection, ce_id, proxy_id, paused_until=now() + for_s, error=error[:2000])


def try_poll(connection: Connection, ce_id: int, proxy_id: int, holder: str, lease_s: float) -> bool:
    """Become the only one that polls the lane; False if somebody does already."""
    free = or_(lanes.c.claimed_until.is_(None), lanes.c.claimed_until < now())
    result = connection.execute(
        update(lanes)
        .where(lanes.c.ce_id == ce_id, lanes.c.proxy_id == proxy_id, free)
        .values(claimed_by=holder, claimed_until=now() + lease_s)
    )
    return result.rowcount == 1


def polled(connection: Connection, ce_id: int, proxy_id: int, silent_s: float) -> None:
    """All jobs of the lane have been asked for, and the CE answered; silent_s: so long without that was a silence."""
    went_on = lanes.c.polled > now() - silent_s
    _set(connection, ce_id, proxy_id, heard=case((went_on, lanes.c.heard), else_=now()))  # reads the old "polled"
    _set(connection, ce_id, proxy_id, polled=now(), claimed_by=None, claimed_until=None, error=None, paused_until=None)


def unclaim(connection: Connection, ce_id: int, proxy_id: int, holder: str) -> None:
    """Give up the poll."""
    connection.execute(
        update(lanes)
        .where(lanes.c.ce_id == ce_id, lanes.c.proxy_id == proxy_id, lanes.c.claimed_by == holder)
        .values(claimed_by=None, claimed_until=None)
    )


def swept(connection: Connection, ce_id: int, proxy_id: int) -> None:
    """Orphans have been looked for."""
    _set(connection, ce_id, proxy_id, swept=now())


def all_of(connection: Connection) -> Sequence[AnyRow]:
    """All lanes, for people."""
    return connection.execute(select(lanes, ces.c.url).join(ces, ces.c.id == lanes.c.ce_id)).all()


def _set(connection: Connection, ce_id: int, proxy_id: int, **values: Any) -> None:
    connection.execute(update(lanes).where(lanes.c.ce_id == ce_id, lanes.c.proxy_id == proxy_id).values(**values))
