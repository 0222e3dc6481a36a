"""Jobs that people have submitted as operators look for them, whosesoever they are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, select, true

from act.client.db.jobs import possible
from act.client.states import CLIENTJOB
from act.client.tables import APP, clientjobs, share_of
from act.client.tables_people import users
from act.control.jobs import Filter, JobLine
from act.db import filters
from act.db.engine import AnyRow
from act.db.schema import cejobs, ces

_JOB = clientjobs.c
_COLUMNS = (_JOB.id, _JOB.state, _JOB.since, _JOB.cejob_id, _JOB.error, users.c.subject,
            cejobs.c.state.label("attempt_state"), cejobs.c.node, cejobs.c.priority, ces.c.url,
            cejobs.c.error.label("attempt_error"))  # fmt: skip
_JOBS = filters.Jobs(_JOB.id, _JOB.state, _JOB.since, _JOB.error, CLIENTJOB.states)


def look(connection: Connection, wanted: Filter, *, after: int, limit: int) -> list[JobLine]:
    """See `act.interfaces.Operations.find`."""
    if wanted.queue:
        return []  # people choose CEs, not queues
    query = (
        select(*_COLUMNS)
        .select_from(clientjobs)
        .join(users, users.c.id == _JOB.user_id)
        .outerjoin(cejobs, cejobs.c.id == _JOB.cejob_id)
        .outerjoin(ces, ces.c.id == cejobs.c.ce_id)
        .where(_of_user(wanted.share))
    )
    if wanted.names:
        query = query.where(_JOB.id.in_(_numbers(wanted.names)))
    found = filters.look(connection, query, _JOBS, wanted, after=after, limit=limit, share=False)
    return [_line(r) for r in found]


def _of_user(share: str) -> ColumnElement[bool]:
    """Jobs that have no attempt yet are of a share, too."""
    if not share:
        return true()
    number = share.rpartition("-")[2]
    mine = possible([int(number)]) if number.isdecimal() and share_of(int(number)) == share else []
    return _JOB.user_id.in_(mine)


def _numbers(names: Sequence[str]) -> list[int]:
    """``client:5`` -> 5."""
    numbers = (name.removeprefix(f"{APP}:") for name in names if name.startswith(f"{APP}:"))
    return possible(int(n) for n in numbers if n.isdecimal())


def _line(row: AnyRow) -> JobLine:
    return JobLine(
        app=APP,
        id=row.id,
        name=f"{APP}:{row.id}",
        queue="",
        owner=row.subject,
        state=row.state,
        attempt_state=row.attempt_state or "",
        since=row.since,
        cejob_id=row.cejob_id,
        ce=row.url or "",
        node=row.node or "",
        priority=row.priority or 0,
        error=row.error or row.attempt_error or "",
    )
