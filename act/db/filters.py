"""What operators look for (`act.control.jobs.Filter`) as conditions, as far as it is about attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from sqlalchemy import ColumnElement, or_, select

from act.control.jobs import Filter
from act.db.engine import AnyRow
from act.db.schema import cejobs, ces


def of_attempt(wanted: Filter, *, share: bool = True) -> list[ColumnElement[bool]]:
    """CE, node and, if it is not known from the job, the share; for a query over ``cejobs``."""
    found: list[ColumnElement[bool]] = []
    if wanted.share and share:
        found.append(cejobs.c.share == wanted.share)
    if wanted.ce:
        found.append(cejobs.c.ce_id.in_(select(ces.c.id).where(ces.c.url.contains(wanted.ce, autoescape=True))))
    if wanted.node:
        of_host = cejobs.c.node.startswith(f"{wanted.node}.", autoescape=True)
        found.append(or_(cejobs.c.node == wanted.node, of_host))
    return found


def in_states(
    wanted: Filter,
    job_states: Sequence[str],
    attempt_states: Sequence[str],
    read: Callable[[str, Sequence[str]], Iterable[AnyRow]],
    limit: int,
) -> list[AnyRow]:
    """Jobs that are, or whose attempts are, in a wanted state, by number: each read has an index, both in one have not.

    read: ("job" or "attempt", states) -> at most ``limit`` rows by number, of all states for ("", ()).
    """
    if not wanted.states:
        return list(read("", ()))
    found: dict[int, AnyRow] = {}
    for of, legal in (("job", job_states), ("attempt", attempt_states)):
        if states := [s for s in wanted.states if s in legal]:
            found.update({r.id: r for r in read(of, states)})
    return list(islice((found[i] for i in sorted(found)), limit))
