"""Claims over all tables that have them: who held what, and ending the claims of the dead."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, select, update

from act.db.engine import now
from act.db.schema import metadata


def end_of_dead(connection: Connection, prefix: str, dead: Callable[[str], bool]) -> int:
    """End the claims of holders that begin with ``prefix`` and are ``dead``; returns how many holders that were.

    What a dead process left undone need not wait for the end of its lease.
    """
    ended: set[str] = set()
    for table in metadata.tables.values():
        if "claimed_by" not in table.c:
            continue
        mine = table.c.claimed_by.startswith(prefix, autoescape=True)
        holders = [h for h in connection.scalars(select(table.c.claimed_by).where(mine).distinct()) if dead(h)]
        if holders:
            connection.execute(
                update(table)
                .where(table.c.claimed_by.in_(holders), table.c.claimed_until > now())
                .values(claimed_until=now())
            )
            ended.update(holders)
    return len(ended)
