"""PanDA jobs as operators look for them."""

from __future__ import annotations

from sqlalchemy import Connection, select

from act.control.jobs import Filter, JobLine
from act.db import filters
from act.db.engine import AnyRow
from act.db.schema import cejobs, ces
from act_atlas.db.tables import SOURCE, pandajobs
from act_atlas.states import PANDAJOB

_MOST = 2**63
_JOB = pandajobs.c
_COLUMNS = (_JOB.id, _JOB.pandaid, _JOB.queue, _JOB.label, _JOB.state, _JOB.since, _JOB.cejob_id, _JOB.node,
            _JOB.computing_element, _JOB.priority, _JOB.error_diag, cejobs.c.state.label("attempt_state"),
            cejobs.c.node.label("attempt_node"), cejobs.c.priority.label("attempt_priority"),
            cejobs.c.error.label("attempt_error"), ces.c.url)  # fmt: skip
_JOBS = filters.Jobs(_JOB.id, _JOB.state, _JOB.since, _JOB.error_diag, PANDAJOB.states)


def look(connection: Connection, app: str, wanted: Filter, *, after: int, limit: int) -> list[JobLine]:
    """See `act.interfaces.Operations.find`. app: its name."""
    query = (
        select(*_COLUMNS)
        .select_from(pandajobs)
        .outerjoin(cejobs, cejobs.c.id == _JOB.cejob_id)
        .outerjoin(ces, ces.c.id == cejobs.c.ce_id)
        .where(_JOB.source == SOURCE)
    )
    if wanted.names:
        query = query.where(_JOB.pandaid.in_([int(n) for n in wanted.names if n.isdecimal() and int(n) < _MOST]))
    if wanted.queue:
        query = query.where(_JOB.queue == wanted.queue)
    return [_line(app, r) for r in filters.look(connection, query, _JOBS, wanted, after=after, limit=limit)]


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
