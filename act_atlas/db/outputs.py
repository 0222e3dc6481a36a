"""All SQL on the files that attempts have stored, and on what pilots left behind."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select, update

from act.db.engine import AnyRow, chunks, now
from act_atlas.db.tables import outputs, pandajobs, pilotreports

CHECK, REMOVE = "check", "remove"
REMOVED, KEPT, MISSING = "removed", "kept", "missing"
LONGEST_DETAIL = 1000  # characters of what storages say; they may say more than fits


@dataclass(frozen=True, slots=True)
class NewOutput:
    """A file of an attempt. host: what work is grouped by; "" for one that nobody can be asked for.

    finding, detail: what is wrong with it already by what the report says; then there is nothing to check.
    """

    lfn: str
    url: str
    host: str
    size: int | None = None
    adler32: str = ""
    md5: str = ""
    finding: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What an attempt of a job left behind. report: of its pilot, if it is of any use; wish: for its files."""

    pandajob_id: int
    report: str | None
    extract: str
    files: Sequence[NewOutput]
    wish: str


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a wish for a file; wish: what is to be done next, None for nothing."""

    id: int
    finding: str | None
    detail: str | None
    wish: str | None = None
    again_s: float = 0.0


def store_reports(connection: Connection, left: Sequence[LeftBehind]) -> None:
    """What the last attempts of jobs left behind, in place of what earlier ones did."""
    if not left:
        return
    forget(connection, [one.pandajob_id for one in left])
    connection.execute(
        insert(pilotreports),
        [{"pandajob_id": one.pandajob_id, "report": one.report, "extract": one.extract} for one in left],
    )
    rows = [
        {
            "pandajob_id": one.pandajob_id,
            "lfn": f.lfn,
            "url": f.url,
            "host": f.host,
            "size": f.size,
            "adler32": f.adler32,
            "md5": f.md5,
            "wish": _wish(f, one.wish),
            "finding": f.finding,
            "detail": f.detail,
        }
        for one in left
        for f in one.files
    ]
    if rows:
        connection.execute(insert(outputs).values(due=now()), rows)


def _wish(file: NewOutput, wish: str) -> str | None:
    """What the report says too little of is not worth a look, but it is there, and has to go like the others."""
    if not file.host or (wish == CHECK and file.finding is not None):
        return None
    return wish


def forget(connection: Connection, pandajob_ids: Collection[int]) -> None:
    """Nothing is known of outputs and reports of these jobs any more."""
    for table in (outputs, pilotreports):
        connection.execute(delete(table).where(table.c.pandajob_id.in_(pandajob_ids)))


def reports(connection: Connection, pandajob_ids: Sequence[int]) -> dict[int, AnyRow]:
    """Job -> (report, extract), for jobs that have them."""
    query = select(pilotreports).where(pilotreports.c.pandajob_id.in_(pandajob_ids))
    return {r.pandajob_id: r for r in connection.execute(query)}


def hosts(connection: Connection) -> list[tuple[str, str]]:
    """(wish, storage host) with something to do now."""
    found: list[tuple[str, str]] = []
    for wish in (CHECK, REMOVE):
        query = select(outputs.c.host).distinct().where(outputs.c.wish == wish, outputs.c.due <= now())
        found += [(wish, host) for host in sorted(connection.scalars(query))]
    return found


def take(connection: Connection, host: str, wish: str, *, limit: int, lease_s: float) -> Sequence[AnyRow]:
    """Files of a host with this wish, the longest waiting first; others leave them alone for ``lease_s``."""
    rows = connection.execute(
        select(outputs)
        .where(outputs.c.wish == wish, outputs.c.host == host, outputs.c.due <= now())
        .order_by(outputs.c.due)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for part in chunks([r.id for r in rows]):
        connection.execute(update(outputs).where(outputs.c.id.in_(part)).values(due=now() + lease_s))
    return rows


def write(connection: Connection, wish: str, found: Iterable[Found]) -> None:
    """What came of ``wish``, for the files that still have it: it may have changed meanwhile."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for f in found:
        groups.setdefault((f.finding, _storable(f.detail), f.wish, f.again_s), []).append(f.id)
    for (finding, detail, wish_next, again_s), ids in groups.items():
        connection.execute(
            update(outputs)
            .where(outputs.c.id.in_(ids), outputs.c.wish == wish)
            .values(finding=finding, detail=detail, wish=wish_next, due=now() + again_s)
        )


def _storable(said: str | None) -> str | None:
    """The beginning of what a storage says, without halves of characters."""
    return said[:LONGEST_DETAIL].encode("utf-8", "replace").decode() if said else None


def decided(connection: Connection, state: str, *, limit: int) -> Sequence[AnyRow]:
    """Jobs in ``state`` with nothing left to do for any of their outputs."""
    still = exists().where(outputs.c.pandajob_id == pandajobs.c.id, outputs.c.wish.is_not(None))
    return connection.execute(
        select(pandajobs).where(pandajobs.c.state == state, ~still).order_by(pandajobs.c.id).limit(limit)
    ).all()


def of_jobs(connection: Connection, pandajob_ids: Sequence[int]) -> dict[int, list[AnyRow]]:
    """Job -> its outputs, in the order of the report."""
    return _by_job(connection.execute(select(outputs).where(outputs.c.pandajob_id.in_(pandajob_ids))).all())


def _by_job(rows: Sequence[AnyRow]) -> dict[int, list[AnyRow]]:
    found: dict[int, list[AnyRow]] = {}
    for row in sorted(rows, key=lambda r: r.id):
        found.setdefault(row.pandajob_id, []).append(row)
    return found


def findings(connection: Connection, pandajob_ids: Sequence[int]) -> dict[int, list[AnyRow]]:
    """Job -> name, finding and detail of its outputs, in the order of the report."""
    wanted = select(outputs.c.id, outputs.c.pandajob_id, outputs.c.lfn, outputs.c.finding, outputs.c.detail)
    return _by_job(connection.execute(wanted.where(outputs.c.pandajob_id.in_(pandajob_ids))).all())


def want_removed(connection: Connection, pandajob_ids: Collection[int]) -> None:
    """Whatever these jobs have stored is to go; what was seen not to be there needs nothing."""
    connection.execute(
        update(outputs)
        .where(outputs.c.pandajob_id.in_(list(pandajob_ids)), outputs.c.host != "")
        .where(outputs.c.finding.is_(None) | outputs.c.finding.not_in((MISSING, REMOVED)))
        .values(wish=REMOVE, due=now())
    )


def give_up(connection: Connection, pandajob_ids: Collection[int], why: str) -> None:
    """Nothing more is tried for these jobs' outputs."""
    connection.execute(
        update(outputs)
        .where(outputs.c.pandajob_id.in_(pandajob_ids), outputs.c.wish.is_not(None))
        .values(wish=None, finding=KEPT, detail=why)
    )
