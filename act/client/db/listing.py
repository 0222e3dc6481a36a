"""Lists of a user's jobs, through one index each, by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, String, case, func, literal, select

from act.client.db.jobs import possible
from act.client.model import Filter, JobRow
from act.client.states import CLIENTJOB, SHOWN
from act.client.tables import clientjobs, clientusage
from act.client.tables_people import users
from act.db.engine import AnyRow, chunks
from act.db.schema import cejobs, cequeues, ces

BEGUN = CLIENTJOB.initial
HIDDEN = ("", "toclean")  # values of ``shown`` of jobs that are not there yet, or not any more

_JOB = clientjobs.c
_SHOWN = case((_JOB.shown == "", literal(BEGUN, String)), else_=_JOB.shown)
# In the order of JobRow's fields.
_COLUMNS = (
    _JOB.id, _JOB.jobname, _JOB.state, _SHOWN, _JOB.created, _JOB.modified, _JOB.ces, _JOB.flavour, _JOB.stdout,
    _JOB.stderr, func.coalesce(_JOB.error, ""), _JOB.attempts, cejobs.c.id, cejobs.c.state, cejobs.c.created,
    cejobs.c.since, ces.c.url, cequeues.c.queue, cejobs.c.ce_job_id, cejobs.c.ce_state, cejobs.c.exit_code,
    cejobs.c.node, cejobs.c.wall_s, cejobs.c.cpu_s, cejobs.c.memory_mb,
)  # fmt: skip
_TABLES = (
    clientjobs.outerjoin(cejobs, cejobs.c.id == clientjobs.c.cejob_id)
    .outerjoin(ces, ces.c.id == cejobs.c.ce_id)
    .outerjoin(cequeues, cequeues.c.id == cejobs.c.cequeue_id)
)


def listing(connection: Connection, user_id: int, wanted: Filter, *, after: int, limit: int) -> list[JobRow]:
    """The user's jobs with an id above ``after`` that a filter lets through, by id, ``limit`` at most."""
    return [JobRow(*row) for row in _found(connection, _COLUMNS, _TABLES, user_id, wanted, after, limit)]


def find_ids(connection: Connection, user_id: int, wanted: Filter, *, after: int, limit: int) -> list[int]:
    """Like `listing`: only the ids."""
    return [row[0] for row in _found(connection, (_JOB.id,), clientjobs, user_id, wanted, after, limit)]


def _found(
    connection: Connection, columns: Sequence[ColumnElement[Any]], tables: FromClause, user_id: int, wanted: Filter,
    after: int, limit: int,
) -> list[AnyRow]:  # fmt: skip
    words = [{BEGUN: ""}.get(state, state) for state in dict.fromkeys(wanted.states) if state in (BEGUN, *SHOWN)]
    if (wanted.states and not words) or any("\ud800" <= c <= "\udfff" for c in wanted.name):
        return []  # no job is ever shown as any of these, or has half a character in its name
    query = select(*columns).select_from(tables).where(_JOB.user_id == user_id).order_by(_JOB.id).limit(limit)
    if wanted.name:
        query = query.where(func.instr(_JOB.jobname, wanted.name) > 0)
    if wanted.ids:
        return _of_ids(connection, query, wanted.ids, words, after, limit)
    query = query.where(_JOB.id > after)
    if not words:
        return list(connection.execute(query.where(_JOB.shown.not_in(HIDDEN))))
    # each state by itself is read in the order of ids, as its index has it: nothing is sorted there
    found = [row for word in words for row in connection.execute(query.where(_JOB.shown == word))]
    return sorted(found, key=_number)[:limit]


def _of_ids(
    connection: Connection, query: Select[Any], ids: Sequence[int], words: Sequence[str], after: int, limit: int
) -> list[AnyRow]:
    query = query.where(_JOB.shown.in_(words) if words else _JOB.shown != "toclean")
    found: list[AnyRow] = []
    for part in chunks([i for i in possible(ids) if i > after]):
        found += connection.execute(query.where(_JOB.id.in_(part)))
        if len(found) >= limit:
            break
    return found[:limit]


def _number(row: AnyRow) -> int:
    return int(row[0])


def counts(connection: Connection) -> list[tuple[str, str, int]]:
    """(who, state as users see it, number of jobs), for operators. Read from one index."""
    counted = connection.execute(
        select(_JOB.user_id, _JOB.shown, func.count()).group_by(_JOB.user_id, _JOB.shown)
    ).all()
    query = select(users.c.id, users.c.subject).where(users.c.id.in_({user_id for user_id, _, _ in counted}))
    subjects = {row.id: row.subject for row in connection.execute(query)}
    return [(subjects[user_id], shown or BEGUN, n) for user_id, shown, n in counted]


def totals(connection: Connection) -> list[tuple[str, int]]:
    """(state, number of jobs). Read from one index."""
    return [(state, n) for state, n in connection.execute(select(_JOB.state, func.count()).group_by(_JOB.state))]


def everybody(connection: Connection, text: str = "", *, after: int, limit: int) -> list[AnyRow]:
    """(id, issuer, subject, created, seen, jobs, files, bytes) of users by id, those with a text in their subject."""
    u, has = users.c, clientusage.c
    counted = (func.coalesce(column, 0).label(column.name) for column in (has.jobs, has.files, has.bytes))
    query = (
        select(u.id, u.issuer, u.subject, u.created, u.seen, *counted)
        .select_from(users.outerjoin(clientusage, has.user_id == u.id))
        .where(u.id > after)
        .order_by(u.id)
        .limit(limit)
    )
    query = query.where(u.subject.contains(text, autoescape=True)) if text else query
    return list(connection.execute(query))


def shown_of(connection: Connection, user_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """User -> state as users see it -> number of jobs."""
    found: dict[int, dict[str, int]] = {}
    query = select(_JOB.user_id, _JOB.shown, func.count()).where(_JOB.user_id.in_(user_ids))
    for user_id, shown, n in connection.execute(query.group_by(_JOB.user_id, _JOB.shown)):
        found.setdefault(user_id, {})[shown or BEGUN] = n
    return found
