"""SQL on the jobs themselves: how they come in, change and move. Jobs of other people are never in an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from act.client.states import CLIENTJOB
from act.client.tables import LEDGER, clientjob_states, clientjobs
from act.client.tables_people import users
from act.db import meta, moves
from act.db.engine import AnyRow, chunks, now
from act.db.moves import Move

Rows = Sequence[AnyRow]
_MOST = 2**63  # people may ask for any number

# Descriptions may be large, and most of the time nobody needs them.
_SMALL = tuple(c for c in clientjobs.c if c.name not in ("description", "spec"))


@dataclass(frozen=True, slots=True)
class NewRow:
    """A job whose submission begins. description: None if it comes with the confirmation. index: in its batch."""

    ces: Sequence[str]
    jobname: str = ""
    language: str = ""
    description: str | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Complete:
    """What a confirmed job consists of. spec: as `act.db.specs.dump` writes it."""

    id: int
    ces: Sequence[str]
    flavour: str
    jobname: str
    language: str
    description: str
    spec: str
    stdout: str
    stderr: str


def initialise(connection: Connection) -> None:
    """Legal states."""
    meta.legal(connection, clientjob_states, CLIENTJOB.states)


def batch(connection: Connection, user_id: int, key: str) -> dict[int, AnyRow]:
    """The jobs of a submission by their place in it. key: its digest, as in ``batch_key``."""
    rows = connection.execute(
        select(*_SMALL, clientjobs.c.description).where(clientjobs.c.user_id == user_id, clientjobs.c.batch_key == key)
    )
    return {r.batch_index: r for r in rows}


def add(
    connection: Connection, user_id: int, proxy_id: int, new: Sequence[NewRow], *, key: str | None, who: str
) -> list[int]:
    """Insert jobs in ``begun``; returns their ids in order."""
    if not new:
        return []
    shared = {"user_id": user_id, "proxy_id": proxy_id, "state": CLIENTJOB.initial, "batch_key": key}
    query = insert(clientjobs).values(since=now(), created=now(), modified=now())
    rows = [
        shared
        | {"ces": list(n.ces), "jobname": n.jobname, "language": n.language, "description": n.description}
        | {"batch_index": n.index if key is not None else None}
        for n in new
    ]
    ids = list(connection.scalars(query.returning(clientjobs.c.id, sort_by_parameter_order=True), rows))
    moves.note(connection, LEDGER.kind, [(i, CLIENTJOB.initial, "") for i in ids], who=who)
    return ids


def rows_of(connection: Connection, user_id: int, ids: Sequence[int], *, whole: bool = False) -> dict[int, AnyRow]:
    """The user's jobs among these; whole: with description and spec."""
    found = {}
    columns = tuple(clientjobs.c) if whole else _SMALL
    for part in chunks(possible(ids)):
        rows = connection.execute(select(*columns).where(clientjobs.c.id.in_(part), clientjobs.c.user_id == user_id))
        found.update({r.id: r for r in rows})
    return found


def get(connection: Connection, ids: Sequence[int], *, lock: bool = False, whole: bool = False) -> dict[int, AnyRow]:
    """Jobs of anybody, for daemons; those that exist. lock: nobody else changes them before the transaction ends."""
    query = select(*(tuple(clientjobs.c) if whole else _SMALL)).where(clientjobs.c.id.in_(ids))
    query = query.order_by(clientjobs.c.id)
    return {r.id: r for r in connection.execute(query.with_for_update() if lock else query)}


def lock(connection: Connection, user_id: int, ids: Sequence[int]) -> Rows:
    """The user's jobs among these, locked, by id."""
    return connection.execute(
        select(*_SMALL)
        .where(clientjobs.c.id.in_(possible(ids)), clientjobs.c.user_id == user_id)
        .order_by(clientjobs.c.id)
        .with_for_update()
    ).all()


def move(connection: Connection, wanted: Sequence[Move], *, who: str) -> dict[int, str]:
    """`act.db.moves.move` for these jobs."""
    return moves.move(
        connection,
        LEDGER,
        [Move(m.id, m.state, m.event, m.why, {**m.values, "modified": now()}, m.version) for m in wanted],
        who=who,
    )


def complete(connection: Connection, jobs: Sequence[Complete]) -> None:
    """Write down what jobs consist of. The transaction holds their rows, all of them ``begun``."""
    if not jobs:
        return
    columns = ("ces", "flavour", "jobname", "language", "description", "spec", "stdout", "stderr")
    query = update(clientjobs).where(clientjobs.c.id == bindparam("row"))
    connection.execute(
        query.values({name: bindparam(f"new_{name}") for name in columns}),
        [{"row": j.id, **{f"new_{name}": getattr(j, name) for name in columns}} for j in jobs],
    )


def mark(connection: Connection, values: Mapping[int, Mapping[str, Any]]) -> None:
    """Write columns of jobs that are no state, such as ``shown``. The transaction holds their rows."""
    groups: dict[tuple[tuple[str, Any], ...], list[int]] = {}
    for i, wanted in values.items():
        groups.setdefault(tuple(sorted(wanted.items())), []).append(i)
    for columns, ids in groups.items():
        connection.execute(update(clientjobs).where(clientjobs.c.id.in_(ids)).values(**dict(columns), modified=now()))


def ready_to_run(connection: Connection, flavour: str, *, limit: int) -> Rows:
    """Confirmed jobs of a CE type that have no attempt yet, those that wait longest first, with their specs."""
    return connection.execute(
        select(*_SMALL, clientjobs.c.spec)
        .where(clientjobs.c.state == "sent", clientjobs.c.flavour == flavour)
        .order_by(clientjobs.c.since)
        .limit(limit)
    ).all()


def possible(ids: Iterable[int]) -> list[int]:
    """Those that are numbers a row can have, in order."""
    return sorted({i for i in ids if 0 < i < _MOST})


def owner(connection: Connection, user_id: int) -> str:
    """The subject of a user."""
    return str(connection.execute(select(users.c.subject).where(users.c.id == user_id)).scalar() or "")
