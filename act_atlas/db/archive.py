"""How ended PanDA jobs go into the archive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, exists, insert, select

from act.db import cejobs, meta
from act.db.engine import AnyRow, now
from act.db.schema import archive, events, jobspecs
from act.db.schema import cejobs as attempts
from act_atlas.db.outputs import forget, of_jobs
from act_atlas.db.tables import LEDGER, SOURCE, outputs, pandajobs
from act_atlas.states import PANDAJOB

Rows = Sequence[AnyRow]

_KEPT = ("id", "attempt", "flavour", "ce_job_id", "exit_code", "error", "node", "wall_s", "cpu_s", "pandaid",
         "attempt_nr", "label", "told", "error_code", "error_diag")  # fmt: skip


def to_archive(connection: Connection, *, after_s: float, limit: int) -> Rows:
    """Jobs that ended at least ``after_s`` ago with nothing left to do for attempts and outputs, locked."""
    ids: list[int] = []
    for state in sorted(PANDAJOB.final):
        ids += connection.scalars(
            _over()
            .where(pandajobs.c.state == state, pandajobs.c.since < now() - after_s)
            .order_by(pandajobs.c.since)
            .limit(limit - len(ids))
        )
    return _locked(connection, ids)


def archivable(connection: Connection, ids: Sequence[int]) -> Rows:
    """Those of the jobs that have ended, whenever, with nothing left to do for attempts and outputs, locked."""
    some = _over().where(pandajobs.c.id.in_(ids), pandajobs.c.state.in_(PANDAJOB.final))
    return _locked(connection, list(connection.scalars(some)))


def _over() -> Select[Any]:
    """Numbers of jobs for whose attempts and outputs nothing is left to do."""
    busy = attempts.alias()
    still = (busy.c.app == SOURCE) & (busy.c.appjob_id == pandajobs.c.id) & (busy.c.state != "archived")
    open_files = exists().where(outputs.c.pandajob_id == pandajobs.c.id, outputs.c.wish.is_not(None))
    return select(pandajobs.c.id).outerjoin(busy, still).where(busy.c.id.is_(None), ~open_files)


def _locked(connection: Connection, ids: Sequence[int]) -> Rows:
    return connection.execute(
        select(pandajobs).where(pandajobs.c.id.in_(ids)).order_by(pandajobs.c.id).with_for_update(skip_locked=True)
    ).all()


def archive_rows(connection: Connection, rows: Rows) -> None:
    """Fold jobs, their attempts and events into the archive, and delete them."""
    ids = [r.id for r in rows]
    old = connection.execute(
        select(attempts)
        .where(attempts.c.app == SOURCE, attempts.c.appjob_id.in_(ids))
        .order_by(attempts.c.appjob_id, attempts.c.id)
    ).all()
    stories = {(LEDGER.kind, r.id): _story(r) for r in rows} | {("cejob", a.id): _story(a) for a in old}
    for kind, kind_ids in ((LEDGER.kind, ids), ("cejob", [a.id for a in old])):
        for e in cejobs.history(connection, kind, kind_ids):
            stories[kind, e.job_id]["events"].append([e.at, e.source, e.event, e.target, e.who, e.why])
    files = of_jobs(connection, ids)
    connection.execute(
        insert(archive).values(ended=now()),
        [
            {
                "source": r.source,
                "external_id": str(r.pandaid),
                "queue": r.queue,
                "state": r.state,
                "created": r.created,
                "history": {
                    "job": stories[LEDGER.kind, r.id],
                    "attempts": [stories["cejob", a.id] for a in old if a.appjob_id == r.id],
                    "outputs": [[o.lfn, o.url, o.finding, o.detail] for o in files.get(r.id, [])],
                },
            }
            for r in rows
        ],
    )
    if old:
        meta.note_archived(connection, max(a.id for a in old))
        connection.execute(delete(attempts).where(attempts.c.id.in_([a.id for a in old])))
        connection.execute(delete(jobspecs).where(jobspecs.c.id.in_([a.jobspec_id for a in old])))
        _forget_events(connection, "cejob", [a.id for a in old])
    forget(connection, ids)
    connection.execute(delete(pandajobs).where(pandajobs.c.id.in_(ids)))
    _forget_events(connection, LEDGER.kind, ids)


def _story(row: AnyRow) -> dict[str, Any]:
    """What is worth keeping of a row for good."""
    facts = row._asdict()
    return {k: facts[k] for k in _KEPT if facts.get(k) is not None} | {"events": []}


def _forget_events(connection: Connection, kind: str, ids: Sequence[int]) -> None:
    connection.execute(delete(events).where(events.c.kind == kind, events.c.job_id.in_(ids)))
