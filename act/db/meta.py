"""Facts about the database itself: its identity, whether submission is stopped, and the daemons' last words."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from act.db.engine import AnyRow, now
from act.db.schema import cejob_states, cejobs, daemons, meta
from act.states import CEJOB


def identity(connection: Connection) -> str:
    """The random id made with the database; it is in every token."""
    return str(connection.execute(select(meta.c.value).where(meta.c.name == "db_id")).scalar_one())


def clock(connection: Connection) -> float:
    """The database's time."""
    return float(connection.execute(select(now())).scalar_one())


def initialise(connection: Connection) -> None:
    """Identity and legal states; nothing happens where they are there."""
    if connection.execute(select(meta.c.value).where(meta.c.name == "db_id")).first() is None:
        connection.execute(insert(meta).values(name="db_id", value=secrets.token_hex(4)))
    legal(connection, cejob_states, CEJOB.states)


def legal(connection: Connection, table: Any, states: Sequence[str]) -> None:
    """Make the table of legal states hold these."""
    known = set(connection.scalars(select(table.c.name)))
    if new := [{"name": s} for s in states if s not in known]:
        connection.execute(insert(table), new)


def clone_identity(connection: Connection, *, hold: str | None = None) -> str:
    """Give a copied database an identity of its own; jobs of the old one become foreign. Lets submission go on.

    hold: why it is stopped instead.
    """
    new = secrets.token_hex(4)
    connection.execute(update(meta).where(meta.c.name == "db_id").values(value=new))
    connection.execute(delete(meta).where(meta.c.name == "stopped"))
    if hold is not None:
        stop(connection, hold)
    return new


def stopped(connection: Connection) -> str | None:
    """Why nothing may be submitted, or None."""
    return connection.execute(select(meta.c.value).where(meta.c.name == "stopped")).scalar()


def stop(connection: Connection, why: str) -> None:
    """Stop all submission until an operator has looked."""
    if stopped(connection) is None:
        connection.execute(insert(meta).values(name="stopped", value=why))


def highest_cejob(connection: Connection) -> int:
    """The highest attempt number this database has ever given."""
    here = connection.execute(select(func.max(cejobs.c.id))).scalar() or 0
    gone = connection.execute(select(meta.c.value).where(meta.c.name == "highest_archived")).scalar() or 0
    return max(int(here), int(gone))


def note_archived(connection: Connection, highest: int) -> None:
    """Attempts up to this number may be gone from the table; `highest_cejob` remembers."""
    before = connection.execute(
        select(meta.c.value).where(meta.c.name == "highest_archived").with_for_update()
    ).scalar()
    if before is None:
        connection.execute(insert(meta).values(name="highest_archived", value=str(highest)))
    elif int(before) < highest:
        connection.execute(update(meta).where(meta.c.name == "highest_archived").values(value=str(highest)))


def report(connection: Connection, host: str, name: str, pid: int, **numbers: Any) -> None:
    """A daemon's line for people."""
    where = (daemons.c.host == host, daemons.c.name == name)
    values = {"pid": pid, "beat": now(), **numbers}
    if connection.execute(update(daemons).where(*where).values(**values)).rowcount == 0:
        zero = {"passes": 0, "moved": 0, "statements": 0}
        connection.execute(insert(daemons).values(**{"host": host, "name": name, "started": now(), **zero, **values}))


def forget_daemons(connection: Connection, host: str, wanted: Collection[str], after_s: float) -> None:
    """Drop the lines of a host's daemons but the wanted ones, that long after their last word."""
    old = (daemons.c.host == host, daemons.c.name.not_in(wanted), daemons.c.beat < now() - after_s)
    connection.execute(delete(daemons).where(*old))


def daemon_rows(connection: Connection) -> Sequence[AnyRow]:
    """All daemons' lines with the age of their beat."""
    return connection.execute(
        select(daemons, (now() - daemons.c.beat).label("age_s")).order_by(daemons.c.host, daemons.c.name)
    ).all()


def value(connection: Connection, name: str) -> str | None:
    """What was last written under a name; None if nothing was."""
    return connection.execute(select(meta.c.value).where(meta.c.name == name)).scalar()


def swap(connection: Connection, name: str, old: str | None, new: str) -> bool:
    """Write ``new`` where ``old`` (None: nothing) still stands; False if it does not, as another was faster."""
    if old is not None:
        where = (meta.c.name == name, meta.c.value == old)
        return connection.execute(update(meta).where(*where).values(value=new)).rowcount == 1
    if value(connection, name) is not None:
        return False
    connection.execute(insert(meta).values(name=name, value=new))
    return True


def count(connection: Connection, name: str) -> None:
    """Add one to a counter."""
    where = meta.c.name == name
    before = connection.execute(select(meta.c.value).where(where).with_for_update()).scalar()
    if before is None:
        connection.execute(insert(meta).values(name=name, value="1"))
    else:
        connection.execute(update(meta).where(where).values(value=str(int(before) + 1)))
