"""Credentials (sealed): a proxy for each role with its delegations at CEs, and bearer tokens for CEs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Exists, Table, delete, exists, insert, or_, select, update

from act.db.engine import AnyRow, inserted_id, now
from act.db.schema import cejobs, ces, delegations, proxies, tokens
from act.states import NEEDS_DELEGATION

_SECRETS = ("pem", "token")


def by_role(connection: Connection) -> dict[str, AnyRow]:
    """Role -> proxy without its key material."""
    return {r.role: r for r in connection.execute(select(*_public(proxies)))}


def get(connection: Connection, proxy_id: int) -> AnyRow:
    """One proxy, sealed PEM included."""
    return connection.execute(select(proxies).where(proxies.c.id == proxy_id)).one()


def store(
    connection: Connection, role: str, identity: str, sealed: bytes, expires: float, fqans: Sequence[str] = ()
) -> int:
    """Put a new proxy in the place of the role's old one; its delegations are now of an older generation."""
    row = connection.execute(select(proxies.c.id).where(proxies.c.role == role).with_for_update()).scalar()
    values = {"identity": identity, "pem": sealed, "expires": expires, "fqans": "\n".join(fqans), "issued": now()}
    if row is None:
        return inserted_id(connection.execute(insert(proxies).values(role=role, **values)))
    connection.execute(
        update(proxies).where(proxies.c.id == row).values(generation=proxies.c.generation + 1, error=None, **values)
    )
    return int(row)


def set_error(connection: Connection, role: str, error: str) -> None:
    """Tell people why the role's proxy cannot be renewed; a role without one gets a row that has run out."""
    if role not in by_role(connection):
        store(connection, role, "", b"", 0.0)
    connection.execute(update(proxies).where(proxies.c.role == role).values(error=error[:2000]))


def all_tokens(connection: Connection) -> dict[str, AnyRow]:
    """URL of a CE -> its bearer token without the token itself."""
    return {r.ce_url: r for r in connection.execute(select(*_public(tokens)))}


def token(connection: Connection, ce_url: str) -> AnyRow | None:
    """The bearer token for a CE, sealed token included."""
    return connection.execute(select(tokens).where(tokens.c.ce_url == ce_url)).first()


def store_token(connection: Connection, ce_url: str, identity: str, sealed: bytes, expires: float) -> None:
    """Put a new bearer token in the place of the CE's old one."""
    values = {"identity": identity, "token": sealed, "expires": expires, "issued": now()}
    if token(connection, ce_url) is None:
        connection.execute(insert(tokens).values(ce_url=ce_url, **values))
    else:
        renewed = {"generation": tokens.c.generation + 1, "error": None, **values}
        connection.execute(update(tokens).where(tokens.c.ce_url == ce_url).values(renewed))


def set_token_error(connection: Connection, ce_url: str, error: str) -> None:
    """Tell people why the CE's token cannot be renewed; a CE without one gets a row that has run out."""
    if token(connection, ce_url) is None:
        store_token(connection, ce_url, "", b"", 0.0)
    connection.execute(update(tokens).where(tokens.c.ce_url == ce_url).values(error=error[:2000]))


def _public(table: Table) -> list[Column[Any]]:
    return [c for c in table.c if c.name not in _SECRETS]


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
