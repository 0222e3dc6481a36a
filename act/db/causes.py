"""Errors that are the same but for numbers and names, counted: what operators look at instead of thousands of lines."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from act.db.cejobs import LEDGER
from act.db.engine import AnyRow, chunks
from act.db.schema import breakers, cejobs, ces, daemons, events
from act.db.schema_operating import causes
from act.likeness import LONGEST, likeness
from act.states import Event

MOST = 5000  # causes that are kept
EXAMPLES = 5  # of a cause
AT_A_TIME = 500  # causes that are gathered; what is beyond is counted as one
OTHER = "many different errors"
PAGE = 5000  # events

# What happens to a job that goes wrong; the last ones to jobs of applications.
_BAD = (Event.FAILED, Event.STAGEFAILED, Event.REFUSED, Event.UNARMED, Event.KILLED, Event.GONE, Event.SILENT,
        Event.EXPIRED, Event.UNFETCHED, Event.CANCEL, Event.QUARANTINE, "unfit", "broken", "resubmit",
        "giveup")  # fmt: skip
# Of these, what comes of a wish for the end of a job; jobs of applications are only killed by request.
_AS_ASKED, _BY_REQUEST = (Event.KILLED, Event.GONE, Event.UNARMED), ("tocancel", "cancelling")
_PEOPLE = ("user", "operator", "application")


@dataclass(frozen=True, slots=True)
class Cause:
    """Errors that are the same. kind: "cejob" or another kind of ``events``, "ce", or "daemon". text: of the last one.

    examples: where to look, of the last few, the latest first, as plain values: of attempts {"app", "job", "attempt",
    "ce"}, of other jobs {"job"}, of CEs {"ce", "host"}, of daemons {"daemon", "host"}; all have "at". Times are by the
    database's clock.
    """

    id: int
    kind: str
    text: str
    count: int
    first: float
    last: float
    examples: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An error that somebody had."""

    kind: str
    text: str
    at: float
    example: Mapping[str, Any]


@dataclass(slots=True)
class Group:
    """Troubles of one cause: how many, the time of the first, and the latest of them."""

    number: int
    first: float
    latest: list[_Trouble]

    def add(self, trouble: _Trouble) -> None:
        """One more."""
        self.number += 1
        self.first = min(self.first, trouble.at)
        self.latest = sorted([*self.latest, trouble], key=lambda t: t.at)[-EXAMPLES:]


Groups = dict[tuple[str, str], Group]  # kind and fingerprint


def gather(connection: Connection, *, after: int, upto: int, since: float, until: float) -> Groups:
    """What went wrong: with jobs, by the events after one and up to another; and the last errors of CEs and daemons
    from ``since`` to before ``until``.
    """
    found: Groups = {}
    troubles = (_of_events(connection, after, upto), _of_ces(connection, since, until),
                _of_daemons(connection, since, until))  # fmt: skip
    for trouble in chain(*troubles):
        key = (trouble.kind, _fingerprint(trouble.text))
        if key not in found:
            if len(found) >= AT_A_TIME:
                trouble = replace(trouble, text=OTHER)
                key = (trouble.kind, _fingerprint(OTHER))
            found.setdefault(key, Group(0, trouble.at, []))
        found[key].add(trouble)
    _locate(connection, found)
    return found


def count(connection: Connection, groups: Groups) -> None:
    """Add what `gather` found to the causes."""
    c = causes.c
    for part in chunks(list(groups)):
        query = select(causes).where(c.kind.in_({k for k, _ in part}), c.fingerprint.in_({f for _, f in part}))
        known = {(r.kind, r.fingerprint): r for r in connection.execute(query)}
        for key in part:
            group, row = groups[key], known.get(key)
            examples = [dict(t.example) for t in reversed(group.latest)]
            values: dict[str, Any] = {"text": group.latest[-1].text, "last": group.latest[-1].at}
            if row is None:
                values |= dict(zip(("kind", "fingerprint"), key, strict=True))
                values |= {"count": group.number, "first": group.first, "examples": examples}
                connection.execute(insert(causes).values(values))
            else:
                values |= {"count": c.count + group.number, "examples": [*examples, *row.examples][:EXAMPLES]}
                connection.execute(update(causes).where(c.id == row.id).values(values))


def listing(connection: Connection, *, kind: str = "", since: float = 0.0, limit: int = 100) -> list[Cause]:
    """Causes that were last seen at ``since`` or later, the latest first. kind "": of all kinds."""
    c = causes.c
    query = select(c.id, c.kind, c.text, c.count.label("number"), c.first, c.last, c.examples).where(c.last >= since)
    if kind:
        query = query.where(c.kind == kind)
    rows = connection.execute(query.order_by(c.last.desc()).limit(limit))
    return [Cause(*row) for row in rows]


def prune(connection: Connection, before: float) -> None:
    """Forget causes that were last seen before that, and the oldest beyond `MOST`."""
    last = causes.c.last
    beyond = connection.execute(select(last).order_by(last.desc()).offset(MOST).limit(1)).scalar()
    if beyond is not None:
        before = max(before, math.nextafter(beyond, math.inf))
    connection.execute(delete(causes).where(last < before))


def _fingerprint(text: str) -> str:
    return hashlib.sha256(likeness(text).encode()).hexdigest()


def _of_events(connection: Connection, after: int, upto: int) -> Iterator[_Trouble]:
    """What went wrong with jobs, page by page, but for what people wanted."""
    e = events.c
    query = (
        select(e.id, e.kind, e.job_id, e.source, e.event, e.at, e.who, func.substr(e.why, 1, LONGEST).label("why"))
        .where(e.id <= upto, e.event.in_(_BAD))
        .order_by(e.id)
        .limit(PAGE)
    )
    while rows := connection.execute(query.where(e.id > after)).all():
        after = rows[-1].id
        yield from (
            _Trouble(r.kind, r.why or r.event, r.at, {"job": r.job_id, "at": r.at}) for r in rows if not _wanted(r)
        )


def _wanted(row: AnyRow) -> bool:
    """Whether somebody wanted what happened."""
    if row.who.partition("-")[0] in _PEOPLE:
        return True
    return row.event in _AS_ASKED and (row.kind != LEDGER.kind or row.source in _BY_REQUEST)


def _of_ces(connection: Connection, since: float, until: float) -> Iterator[_Trouble]:
    """The last error of each CE on each host."""
    b = breakers.c
    query = select(ces.c.url, b.host, b.last_error, b.last_error_at).join(ces, ces.c.id == b.ce_id)
    for r in connection.execute(query.where(b.last_error_at >= since, b.last_error_at < until)):
        yield _Trouble("ce", r.last_error, r.last_error_at, {"ce": r.url, "host": r.host, "at": r.last_error_at})


def _of_daemons(connection: Connection, since: float, until: float) -> Iterator[_Trouble]:
    """The last error of each daemon."""
    d = daemons.c
    for r in connection.execute(select(daemons).where(d.error_at >= since, d.error_at < until)):
        yield _Trouble("daemon", r.error, r.error_at, {"daemon": r.name, "host": r.host, "at": r.error_at})


def _locate(connection: Connection, groups: Groups) -> None:
    """Tell of the attempts among the examples whose they are, and at which CE."""
    of_attempts = [group for (kind, _), group in groups.items() if kind == LEDGER.kind]
    query = select(cejobs.c.id, cejobs.c.app, cejobs.c.appjob_id, ces.c.url).outerjoin(ces, ces.c.id == cejobs.c.ce_id)
    rows: dict[int, AnyRow] = {}
    for part in chunks(sorted({t.example["job"] for group in of_attempts for t in group.latest})):
        rows |= {r.id: r for r in connection.execute(query.where(cejobs.c.id.in_(part)))}
    for group in of_attempts:
        group.latest = [replace(t, example=_of_attempt(t, rows.get(t.example["job"]))) for t in group.latest]


def _of_attempt(trouble: _Trouble, row: AnyRow | None) -> dict[str, Any]:
    number, at = trouble.example["job"], trouble.at
    if row is None:  # archived meanwhile
        return {"app": "", "job": None, "attempt": number, "ce": "", "at": at}
    return {"app": row.app, "job": row.appjob_id, "attempt": number, "ce": row.url or "", "at": at}
