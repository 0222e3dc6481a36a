"""What alarms ask about before they are raised."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, exists, func, select, true

from act.db.schema import candidates, cejobs, cequeues, ces
from act.states import NEEDS_DELEGATION


def in_use(connection: Connection, ce_ids: Collection[int]) -> set[int]:
    """Those of the CEs that have attempts, or that attempts wait for."""
    there = exists().where(cejobs.c.state.in_(NEEDS_DELEGATION), cejobs.c.ce_id == ces.c.id)
    comes = exists().where(
        candidates.c.open == true(), candidates.c.cequeue_id == cequeues.c.id, cequeues.c.ce_id == ces.c.id
    )
    return set(connection.scalars(select(ces.c.id).where(ces.c.id.in_(ce_ids), there | comes)))


def number_in(connection: Connection, state: str) -> int:
    """How many attempts are in a state."""
    return int(connection.execute(select(func.count()).where(cejobs.c.state == state)).scalar_one())
