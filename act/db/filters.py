"""What operators look for (`act.control.jobs.Filter`) in the jobs of any application and their attempts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, or_, select

from act.control.jobs import Filter
from act.db.engine import AnyRow, now
from act.db.schema import cejobs, ces
from act.states import CEJOB


@dataclass(frozen=True)
class Jobs:
    """The columns that every table of jobs has, and the states that its jobs may have."""

    id: Column[Any]
    state: Column[Any]
    since: Column[Any]
    error: Column[Any]
    states: Sequence[str]


def look(
    connection: Connection,
    query: Select[Any],
    jobs: Jobs,
    wanted: Filter,
    *,
    after: int,
    limit: int,
    share: bool = True,
) -> list[AnyRow]:
    """Rows of ``query`` that are wanted, by number, as `act.interfaces.Operations.find` has it.

    query: selects from jobs with ``cejobs`` beside them, has the column ``id``, and conditions for names and queues.
    share: whether a job's share is that of its attempt; if not, the query sees to it.
    """
    query = query.where(jobs.id > after, *_of_attempt(wanted, share)).order_by(jobs.id).limit(limit)
    if wanted.error:
        said = (jobs.error, cejobs.c.error)
        query = query.where(or_(*(text.contains(wanted.error, autoescape=True) for text in said)))
    if wanted.older_s is not None:
        query = query.where(jobs.since < now() - wanted.older_s)
    if not wanted.states:
        return list(connection.execute(query))
    found: dict[int, AnyRow] = {}
    # each of the two has an index, both in one question have not
    for column, legal in ((jobs.state, jobs.states), (cejobs.c.state, CEJOB.states)):
        if states := [s for s in wanted.states if s in legal]:
            found.update({r.id: r for r in connection.execute(query.where(column.in_(states)))})
    return list(islice((found[i] for i in sorted(found)), limit))


def _of_attempt(wanted: Filter, share: bool) -> Iterator[ColumnElement[bool]]:
    if wanted.share and share:
        yield cejobs.c.share == wanted.share
    if wanted.ce:
        yield cejobs.c.ce_id.in_(select(ces.c.id).where(ces.c.url.contains(wanted.ce, autoescape=True)))
    if wanted.node:
        of_host = cejobs.c.node.startswith(f"{wanted.node}.", autoescape=True)
        yield or_(cejobs.c.node == wanted.node, of_host)
