"""The archive: ended jobs with their attempts and what happened to them, as people look for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from act.db.engine import AnyRow, now
from act.db.schema import archive


@dataclass(frozen=True, slots=True)
class Past:
    """Which ended jobs; what is not said does not matter. names: of their source. ended: seconds since the epoch."""

    names: tuple[str, ...] = ()
    queue: str = ""
    states: tuple[str, ...] = ()
    ended_after: float | None = None
    ended_before: float | None = None


def find(connection: Connection, wanted: Past, *, limit: int) -> Sequence[AnyRow]:
    """(id, source, external_id, queue, state, created, ended), the latest end first."""
    c = archive.c
    query = select(c.id, c.source, c.external_id, c.queue, c.state, c.created, c.ended)
    if wanted.names:
        query = query.where(c.external_id.in_(wanted.names))
    if wanted.queue:
        query = query.where(c.queue == wanted.queue)
    if wanted.states:
        query = query.where(c.state.in_(wanted.states))
    if wanted.ended_after is not None:
        query = query.where(c.ended >= wanted.ended_after)
    if wanted.ended_before is not None:
        query = query.where(c.ended < wanted.ended_before)
    return connection.execute(query.order_by(c.ended.desc(), c.id.desc()).limit(limit)).all()


def older(connection: Connection, older_s: float) -> int:
    """How many ended longer ago."""
    query = select(func.count()).select_from(archive).where(archive.c.ended < now() - older_s)
    return int(connection.execute(query).scalar_one())


def prune(connection: Connection, older_s: float, *, limit: int) -> int:
    """Delete those that ended longer ago, the oldest first; returns how many."""
    query = select(archive.c.id).where(archive.c.ended < now() - older_s).order_by(archive.c.ended).limit(limit)
    ids = connection.scalars(query).all()
    if ids:
        connection.execute(delete(archive).where(archive.c.id.in_(ids)))
    return len(ids)
