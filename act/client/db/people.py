"""Rows of people: users, their credentials, hand-overs under way, and sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from act.client.tables_people import handovers, sessions, usercredentials, users
from act.db import credentials
from act.db.engine import AnyRow, inserted_id, now
from act.db.schema import proxies

SEEN_S = 3600.0  # how exactly it is known when somebody was last here
WORTH_S = 3600.0  # a stored proxy that lives so much longer than a new one is kept


def digest(issuer: str, subject: str) -> str:
    """What a user is found by."""
    return hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()


def ensure_user(connection: Connection, issuer: str, subject: str) -> int:
    """The user's id; they are here now."""
    key = digest(issuer, subject)
    row = connection.execute(select(users.c.id, users.c.seen < now() - SEEN_S).where(users.c.digest == key)).first()
    if row is None:
        values = {"issuer": issuer, "subject": subject, "digest": key, "created": now(), "seen": now()}
        return inserted_id(connection.execute(insert(users).values(values)))
    if row[1]:
        connection.execute(update(users).where(users.c.id == row.id).values(seen=now()))
    return int(row.id)


def visitor(connection: Connection, issuer: str, subject: str) -> AnyRow | None:
    """(id, fresh, proxy_id) of a known user: whether seen of late, and the newest good credential they left, if any."""
    good = usercredentials.join(proxies, (proxies.c.id == usercredentials.c.proxy_id) & (proxies.c.expires > now()))
    return connection.execute(
        select(users.c.id, (users.c.seen >= now() - SEEN_S).label("fresh"), proxies.c.id.label("proxy_id"))
        .select_from(users.outerjoin(good, usercredentials.c.user_id == users.c.id))
        .where(users.c.digest == digest(issuer, subject))
        .order_by(proxies.c.issued.desc())
        .limit(1)
    ).first()


def good_proxies(connection: Connection, roles: Collection[str]) -> dict[str, int]:
    """Role -> id of its proxy, of those that have not run out."""
    wanted = select(proxies.c.role, proxies.c.id).where(proxies.c.role.in_(roles), proxies.c.expires > now())
    return {r.role: r.id for r in connection.execute(wanted)}


def keep_credential(
    connection: Connection, user_id: int, subject: str, sealed: bytes, expires: float, fqans: Sequence[str]
) -> int:
    """Store a user's proven proxy; its id.

    The newest wins, as its owner wants it so, unless the stored one can do the same and lives clearly longer: a short
    proxy made for a look at some jobs must not end them.
    """
    first = fqans[0] if fqans else ""
    role = f"user-{user_id}-{hashlib.sha256(first.encode()).hexdigest()[:12]}"
    kept = proxies.c.id, proxies.c.expires, proxies.c.fqans, proxies.c.error
    row = connection.execute(select(*kept).where(proxies.c.role == role).with_for_update()).first()
    lasting = row is not None and row.error is None and row.expires > expires + WORTH_S
    if row is not None and lasting and set(fqans) <= set(row.fqans.split("\n")):
        return int(row.id)
    proxy_id = credentials.store(connection, role, subject[:255], sealed, expires, fqans)
    if row is None:
        values = {"proxy_id": proxy_id, "user_id": user_id, "fqan": first[:500]}
        connection.execute(insert(usercredentials).values(values))
    return proxy_id


def begin_handover(
    connection: Connection, values: Mapping[str, Any], life_s: float, *, per_person: int, total: int
) -> AnyRow | None:
    """Write a hand-over down; None if ``total`` are under way.

    A person has ``per_person`` at a time: the oldest make room, as anybody who saw the public part of a proxy can
    begin one, and must not keep its owner from it.
    """
    pending = (handovers.c.expires > now()) & handovers.c.taken.is_(None)
    mine = select(handovers.c.id).where(handovers.c.person == values["person"], pending)
    old = connection.execute(mine.order_by(handovers.c.created.desc()).offset(per_person - 1).limit(total)).scalars()
    if gone := old.all():
        connection.execute(delete(handovers).where(handovers.c.id.in_(gone)))
    if connection.execute(select(func.count()).select_from(handovers).where(pending)).scalar_one() >= total:
        return None
    connection.execute(insert(handovers).values(created=now(), expires=now() + life_s, **values))
    return handover(connection, values["id"])


def handover(connection: Connection, id: str, *, lock: bool = False) -> AnyRow | None:
    """A hand-over that has not run out."""
    query = select(handovers).where(handovers.c.id == id, handovers.c.expires > now())
    return connection.execute(query.with_for_update() if lock else query).first()


def end_handover(connection: Connection, id: str, taken: str, session: str) -> None:
    """It ended with this certificate, and this session began; kept until it runs out, for those who ask again."""
    connection.execute(update(handovers).where(handovers.c.id == id).values(taken=taken, session=session))


def forget_handover(connection: Connection, id: str) -> None:
    """It never was."""
    connection.execute(delete(handovers).where(handovers.c.id == id))


def begin_session(connection: Connection, id: str, user_id: int, proxy_id: int, proof: Any, expires: float) -> None:
    """Write a session down."""
    values = {"id": id, "user_id": user_id, "proxy_id": proxy_id, "proof": proof, "expires": expires}
    connection.execute(insert(sessions).values(created=now(), **values))


def session(connection: Connection, id: str) -> AnyRow | None:
    """A session that is good, with its user, if its credential is still there and good."""
    of_user = users.c.issuer, users.c.subject
    return connection.execute(
        select(sessions, *of_user)
        .join(users, users.c.id == sessions.c.user_id)
        .join(proxies, proxies.c.id == sessions.c.proxy_id)
        .where(sessions.c.id == id, sessions.c.revoked.is_(None))
        .where(sessions.c.expires > now(), proxies.c.expires > now())
    ).first()


def revoke(connection: Connection, *, id: str = "", user_id: int = 0) -> int:
    """End one session, or all of a user; how many were good until now."""
    which = sessions.c.id == id if id else sessions.c.user_id == user_id
    good = which & sessions.c.revoked.is_(None) & (sessions.c.expires > now())
    return connection.execute(update(sessions).where(good).values(revoked=now())).rowcount


def sweep(connection: Connection) -> int:
    """Delete hand-overs and sessions that have run out."""
    return sum(connection.execute(delete(t).where(t.c.expires < now())).rowcount for t in (handovers, sessions))
