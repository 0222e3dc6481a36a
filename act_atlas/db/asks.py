"""What came of asking PanDA for jobs, queue by queue; for people."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from act.db.engine import AnyRow, now
from act_atlas.db.tables import pandaqueues

LONGEST_ERROR = 1000


def note(connection: Connection, queue: str, jobs: int, error: str | None) -> None:
    """PanDA has just been asked for jobs of a queue, and gave so many, or the error."""
    values = {"asked": now(), "jobs": jobs, "error": error[:LONGEST_ERROR] if error else None}
    if connection.execute(update(pandaqueues).where(pandaqueues.c.queue == queue).values(**values)).rowcount == 0:
        connection.execute(insert(pandaqueues).values(queue=queue, **values))


def last(connection: Connection, queue: str) -> AnyRow | None:
    """(asked, jobs, error) of a queue; None if PanDA was never asked for its jobs."""
    return connection.execute(select(pandaqueues).where(pandaqueues.c.queue == queue)).first()


def lately(connection: Connection, within_s: float) -> Sequence[AnyRow]:
    """(queue, asked, jobs, error) of the queues that were asked for within that time, the last one first."""
    recent = pandaqueues.c.asked > now() - within_s
    return connection.execute(select(pandaqueues).where(recent).order_by(pandaqueues.c.asked.desc())).all()
