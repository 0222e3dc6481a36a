"""Jobs that people have submitted as operators look for them, whosesoever they are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, or_, select, true

from act.client.db.jobs import possible
from act.client.states import CLIENTJOB
from act.client.tables import APP, clientjobs, share_of
from act.client.tables_people import users
from act.control.jobs import Filter, JobLine
from act.db.engine import AnyRow, now
from act.db.filters import in_states, of_attempt
from act.db.schema import cejobs, ces
from act.states import CEJOB

_JOB = clientjobs.c
_COLUMNS = (_JOB.id, _JOB.state, _JOB.since, _JOB.cejob_id, _JOB.error, users.c.subject,
            cejobs.c.state.label("attempt_state"), cejobs.c.node, cejobs.c.priority, ces.c.url,
            cejobs.c.error.label("attempt_error"))  # fmt: skip


def look(connection: Connection, wanted: Filter, *, after: int, limit: int) -> list[JobLine]:
    """See `act.interfaces.Application.find`."""
    if wanted.queue:
        return []  # people choose CEs, not queues
    query = (
        select(*_COLUMNS)
        .select_from(clientjobs)
        .join(users, users.c.id == _JOB.user_id)
        .outerjoin(cejobs, cejobs.c.id == _JOB.cejob_id)
        .outerjoin(ces, ces.c.id == cejobs.c.ce_id)
        .where(_JOB.id > after, _of_user(wanted.share), *of_attempt(wanted, share=False))
        .order_by(_JOB.id)
        .limit(limit)
    )
    if wanted.names:
        query = query.where(_JOB.id.in_(_numbers(wanted.names)))
    if wanted.error:
        said = (_JOB.error, cejobs.c.error)
        query = query.where(or_(*(text.contains(wanted.error, autoescape=True) for text in said)))
    if wanted.older_s is not None:
        query = query.where(_JOB.since < now() - wanted.older_s)

    def read(of: str, states: Sequence[str]) -> Sequence[AnyRow]:
        column = {"job": _JOB.state, "attempt": cejobs.c.state}.get(of)
        return connection.execute(query if column is None else query.where(column.in_(states))).all()

    return [_line(r) for r in in_states(wanted, CLIENTJOB.states, CEJOB.states, read, limit)]


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
