"""Proxies (sealed) and their delegations at CEs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, Exists, delete, exists, insert, or_, select, update

from act.db.engine import AnyRow, inserted_id, now
from act.db.schema import cejobs, ces, delegations, proxies
from act.states import NEEDS_DELEGATION

_COLUMNS = (proxies.c.id, proxies.c.role, proxies.c.identity, proxies.c.expires, proxies.c.generation, proxies.c.error)


def by_role(connection: Connection) -> dict[str, AnyRow]:
    """Role -> proxy without its key material."""
    return {r.role: r for r in connection.execute(select(*_COLUMNS))}


def get(connection: Connection, proxy_id: int) -> AnyRow:
    """One proxy, sealed PEM included."""
    return connection.execute(select(proxies).where(proxies.c.id == proxy_id)).one()


def store(connection: Connection, role: str, identity: str, sealed: bytes, expires: float) -> int:
    """Put a new proxy in the place of the role's old one; its delegations are now of an older generation."""
    row = connection.execute(select(proxies.c.id).where(proxies.c.role == role).with_for_update()).scalar()
    if row is None:
        values = {"role": role, "identity": identity, "pem": sealed, "expires": expires}
        return inserted_id(connection.execute(insert(proxies).values(**values)))
    connection.execute(
        update(proxies)
        .where(proxies.c.id == row)
        .values(identity=identity, pem=sealed, expires=expires, generation=proxies.c.generation + 1, error=None)
    )
    return int(row)


def set_error(connection: Connection, role: str, error: str) -> None:
    """Tell people why the role's proxy cannot be renewed."""
    connection.execute(update(proxies).where(proxies.c.role == role).values(error=error[:2000]))


def live_delegation(connection: Connection, ce_id: int, proxy_id: int) -> AnyRow | None:
    """The delegation of a lane, locked so that it cannot be removed before the transaction ends."""
    return connection.execute(
        select(delegations)
        .where(delegations.c.ce_id == ce_id, delegations.c.proxy_id == proxy_id, delegations.c.state == "live")
        .with_for_update()
    ).first()


def live(connection: Connection, ce_id: int, proxy_id: int) -> Sequence[AnyRow]:
    """The live delegation of a lane, if there is one, without a lock."""
    where = (delegations.c.ce_id == ce_id, delegations.c.proxy_id == proxy_id, delegations.c.state == "live")
    return connection.execute(select(delegations).where(*where)).all()


def add_delegation(connection: Connection, ce_id: int, proxy_id: int, remote_id: str, generation: int) -> bool:
    """Write down a new delegation; False if the lane has one already."""
    where = (delegations.c.ce_id == ce_id, delegations.c.proxy_id == proxy_id)
    if connection.execute(select(delegations.c.id).where(*where).with_for_update()).first():
        return False
    values = {"ce_id": ce_id, "proxy_id": proxy_id, "remote_id": remote_id, "generation": generation}
    connection.execute(insert(delegations).values(used=now(), **values))
    return True


def touch(connection: Connection, delegation_id: int) -> None:
    """The delegation was used just now."""
    connection.execute(update(delegations).where(delegations.c.id == delegation_id).values(used=now()))


def outdated(connection: Connection, ce_id: int, proxy_id: int) -> AnyRow | None:
    """The lane's delegation if it was signed with an older proxy than today's: (id, remote_id, generation to be)."""
    return connection.execute(
        select(delegations.c.id, delegations.c.remote_id, proxies.c.generation)
        .join(proxies, proxies.c.id == delegations.c.proxy_id)
        .where(delegations.c.ce_id == ce_id, delegations.c.proxy_id == proxy_id, delegations.c.state == "live")
        .where(delegations.c.generation < proxies.c.generation)
    ).first()


def renewed(connection: Connection, delegation_id: int, generation: int) -> None:
    """The CE has the new proxy."""
    connection.execute(update(delegations).where(delegations.c.id == delegation_id).values(generation=generation))


def start_removal(connection: Connection, ce_id: int, proxy_id: int, idle_s: float) -> AnyRow | None:
    """The lane's delegation if no attempt needs it: from now on nobody may use it."""
    row = connection.execute(
        select(delegations)
        .where(delegations.c.ce_id == ce_id, delegations.c.proxy_id == proxy_id)
        .where(or_(delegations.c.state == "removing", (delegations.c.used < now() - idle_s) & ~_needed()))
        .with_for_update()
    ).first()
    if row is not None and row.state == "live":
        connection.execute(update(delegations).where(delegations.c.id == row.id).values(state="removing"))
    return row


def forget(connection: Connection, delegation_id: int) -> None:
    """The CE no longer has the delegation."""
    connection.execute(delete(delegations).where(delegations.c.id == delegation_id))


def restless(connection: Connection, flavour: str, idle_s: float) -> list[tuple[int, int]]:
    """(CE, proxy) pairs whose delegation is older than the proxy, unused for long, or being removed."""
    rows = connection.execute(
        select(delegations.c.ce_id, delegations.c.proxy_id)
        .join(ces, ces.c.id == delegations.c.ce_id)
        .join(proxies, proxies.c.id == delegations.c.proxy_id)
        .where(ces.c.flavour == flavour)
        .where(
            or_(
                delegations.c.generation < proxies.c.generation,
                delegations.c.state == "removing",
                (delegations.c.used < now() - idle_s) & ~_needed(),
            )
        )
    )
    return [(r.ce_id, r.proxy_id) for r in rows]


def _needed() -> Exists:
    """Some attempt may still act with the delegation."""
    return exists().where(cejobs.c.delegation_id == delegations.c.id, cejobs.c.state.in_(NEEDS_DELEGATION))


def all_of(connection: Connection) -> Sequence[AnyRow]:
    """All delegations, for people."""
    return connection.execute(select(delegations, ces.c.url).join(ces, ces.c.id == delegations.c.ce_id)).all()


def remote_ids(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """Delegation id -> what the CE calls it."""
    return {r.id: r.remote_id for r in connection.execute(select(delegations).where(delegations.c.id.in_(ids)))}
