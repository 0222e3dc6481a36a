"""Files of attempts: those that were brought back, and those of running jobs that somebody looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, or_, select, tuple_, update

from act.db.engine import AnyRow, chunks, now
from act.db.schema import cejobs, results, watches
from act.states import ENDED

LONGEST_NAME = 500  # characters
GROWING = ("submitted", "holding", "running", "finishing", "torerun", "tocancel", "cancelling")
_PAST = (*ENDED, "toclean", "archived")  # what there is of the files is in the store
_OVER = or_(watches.c.until < now(), cejobs.c.state.in_(_PAST))
_DUE = and_(watches.c.due <= now(), cejobs.c.state.in_(GROWING))


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file of an ended attempt that is in the store. size: in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Watch:
    """A file of a running job that is wanted: the attempt, its id at the CE, and the size of the last copy, if any."""

    cejob_id: int
    ce_job_id: str
    name: str
    size: int | None


def brought(connection: Connection, cejob_id: int) -> list[ResultFile]:
    """What the store has of an attempt's files, by name."""
    rows = connection.execute(select(results).where(results.c.cejob_id == cejob_id).order_by(results.c.name))
    return [ResultFile(r.name, r.size, r.sha256) for r in rows]


def note(connection: Connection, cejob_id: int, files: Sequence[ResultFile]) -> None:
    """These files of an attempt are in the store now, whatever was there before."""
    for part in chunks(list(files)):
        names = [f.name for f in part]
        connection.execute(delete(results).where(results.c.cejob_id == cejob_id, results.c.name.in_(names)))
        connection.execute(
            insert(results),
            [{"cejob_id": cejob_id, "name": f.name, "size": f.size, "sha256": f.sha256} for f in part],
        )


def watch(connection: Connection, cejob_id: int, name: str, for_s: float) -> None:
    """Somebody wants to see a file of a job while it runs, for so long from now on. Cheap to repeat."""
    one = (watches.c.cejob_id == cejob_id, watches.c.name == name)
    known = connection.execute(select((watches.c.until - now()).label("left_s")).where(*one)).first()
    if known is None:
        connection.execute(insert(watches).values(cejob_id=cejob_id, name=name, until=now() + for_s, due=now()))
    elif known.left_s < for_s / 2:
        connection.execute(update(watches).where(*one).values(until=now() + for_s))


def watched(connection: Connection, cejob_id: int, name: str) -> AnyRow | None:
    """The wish to see a file: its columns size (None: no copy yet) and brought (when that was made)."""
    return connection.execute(
        select(watches).where(watches.c.cejob_id == cejob_id, watches.c.name == name)
    ).one_or_none()


def watching_lanes(connection: Connection, flavour: str) -> list[tuple[int, int]]:
    """(CE, proxy) pairs with files to look at, or wishes that are over."""
    query = (
        select(cejobs.c.ce_id, cejobs.c.proxy_id)
        .join(watches, watches.c.cejob_id == cejobs.c.id)
        .where(cejobs.c.flavour == flavour, cejobs.c.ce_id.is_not(None))
        .where(or_(_OVER, _DUE))
        .distinct()
    )
    return [(r.ce_id, r.proxy_id) for r in connection.execute(query)]


def take_due(connection: Connection, ce_id: int, proxy_id: int, *, limit: int, for_s: float) -> list[Watch]:
    """Files of a lane's jobs that are to be looked at now, the longest due first; nobody else does so for ``for_s``."""
    rows = connection.execute(
        select(watches.c.cejob_id, watches.c.name, watches.c.size, cejobs.c.ce_job_id)
        .join(cejobs, cejobs.c.id == watches.c.cejob_id)
        .where(cejobs.c.ce_id == ce_id, cejobs.c.proxy_id == proxy_id, cejobs.c.ce_job_id.is_not(None))
        .where(_DUE, ~_OVER)
        .order_by(watches.c.due)
        .limit(limit)
    )
    taken = [Watch(r.cejob_id, r.ce_job_id, r.name, r.size) for r in rows]
    for one in taken:
        _set(connection, one, due=now() + for_s)
    return taken


def seen(connection: Connection, one: Watch, size: int | None, again_s: float) -> None:
    """A file was looked at. size: of the copy that was made, None if there was nothing new."""
    _set(connection, one, due=now() + again_s, **({} if size is None else {"size": size, "brought": now()}))


def _set(connection: Connection, one: Watch, **values: Any) -> None:
    here = (watches.c.cejob_id == one.cejob_id, watches.c.name == one.name)
    connection.execute(update(watches).where(*here).values(**values))


def forget_over(connection: Connection, ce_id: int, proxy_id: int) -> list[tuple[int, str]]:
    """Forget the wishes of a lane that are over: (attempt, name) of each."""
    rows = connection.execute(
        select(watches.c.cejob_id, watches.c.name)
        .join(cejobs, cejobs.c.id == watches.c.cejob_id)
        .where(cejobs.c.ce_id == ce_id, cejobs.c.proxy_id == proxy_id, _OVER)
    )
    gone = [(r.cejob_id, r.name) for r in rows]
    for part in chunks(gone):
        connection.execute(delete(watches).where(tuple_(watches.c.cejob_id, watches.c.name).in_(part)))
    return gone
