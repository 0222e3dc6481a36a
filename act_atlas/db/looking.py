"""PanDA jobs as operators look for them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, or_, select

from act.control.jobs import Filter, JobLine
from act.db.engine import AnyRow, now
from act.db.filters import in_states, of_attempt
from act.db.schema import cejobs, ces
from act.states import CEJOB
from act_atlas.db.tables import SOURCE, pandajobs
from act_atlas.states import PANDAJOB

_MOST = 2**63
_JOB = pandajobs.c
_COLUMNS = (_JOB.id, _JOB.pandaid, _JOB.queue, _JOB.label, _JOB.state, _JOB.since, _JOB.cejob_id, _JOB.node,
            _JOB.computing_element, _JOB.priority, _JOB.error_diag, cejobs.c.state.label("attempt_state"),
            cejobs.c.node.label("attempt_node"), cejobs.c.priority.label("attempt_priority"),
            cejobs.c.error.label("attempt_error"), ces.c.url)  # fmt: skip


def look(connection: Connection, app: str, wanted: Filter, *, after: int, limit: int) -> list[JobLine]:
    """See `act.interfaces.Application.find`. app: its name."""
    query = (
        select(*_COLUMNS)
        .select_from(pandajobs)
        .outerjoin(cejobs, cejobs.c.id == _JOB.cejob_id)
        .outerjoin(ces, ces.c.id == cejobs.c.ce_id)
        .where(_JOB.source == SOURCE, _JOB.id > after, *of_attempt(wanted))
        .order_by(_JOB.id)
        .limit(limit)
    )
    if wanted.names:
        query = query.where(_JOB.pandaid.in_([int(n) for n in wanted.names if n.isdecimal() and int(n) < _MOST]))
    if wanted.queue:
        query = query.where(_JOB.queue == wanted.queue)
    if wanted.error:
        said = (_JOB.error_diag, cejobs.c.error)
        query = query.where(or_(*(text.contains(wanted.error, autoescape=True) for text in said)))
    if wanted.older_s is not None:
        query = query.where(_JOB.since < now() - wanted.older_s)

    def read(of: str, states: Sequence[str]) -> Sequence[AnyRow]:
        column = {"job": _JOB.state, "attempt": cejobs.c.state}.get(of)
        return connection.execute(query if column is None else query.where(column.in_(states))).all()

    return [_line(app, r) for r in in_states(wanted, PANDAJOB.states, CEJOB.states, read, limit)]


def _line(app: str, row: AnyRow) -> JobLine:
    return JobLine(
        app=app,
        id=row.id,
        name=str(row.pandaid),
        queue=row.queue,
        owner=row.label,
        state=row.state,
        attempt_state=row.attempt_state or "",
        since=row.since,
        cejob_id=row.cejob_id,
        ce=row.url or row.computing_element or "",
        node=row.attempt_node or row.node or "",
        priority=row.priority if row.attempt_priority is None else row.attempt_priority,
        error=row.error_diag or row.attempt_error or "",
    )
