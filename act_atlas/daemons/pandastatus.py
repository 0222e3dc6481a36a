"""pandastatus: carries what became of attempts over to their PanDA jobs, and publishes logs of ended ones."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from act.daemons.base import Key
from act.daemons.fetcher import stored_as
from act.db import cejobs, ces, meta, specs
from act.db.engine import NOW, AnyRow
from act.db.moves import Move
from act.errors import OutputMissing
from act.states import ENDED
from act.states import Event as CEEvent
from act_atlas import db
from act_atlas.daemons.base import AtlasDaemon
from act_atlas.daemons.panda2ce import joblog_name
from act_atlas.states import PANDAJOB, Event

BATCH = 500
KILLED_CODE, LOST_CODE, FAILED_CODE = 1144, 9001, 9000
FOLLOWS = {
    "tosubmit": Event.WAITING,
    "submitting": Event.WAITING,
    "created": Event.WAITING,
    "submitted": Event.WAITING,
    "holding": Event.WAITING,
    "torerun": Event.WAITING,
    "running": Event.RUNNING,
    "finishing": Event.RUNNING,
}


class PandaStatus(AtlasDaemon):
    """Reads attempts with unseen changes; what it has acted on it acknowledges in the same transaction."""

    kind = "pandastatus"

    def work(self, lane: Key) -> int:
        changed = self.db.read("unseen", lambda c: cejobs.unseen(c, db.SOURCE, limit=BATCH, lock=False))
        if not changed:
            return 0
        ended = [r for r in changed if r.state in ENDED]
        if ended:
            self._publish(ended)
        versions = {r.id: r.version for r in changed}
        return self.db.run("follow", lambda c: self._follow(c, versions))

    def _follow(self, connection: Connection, versions: Mapping[int, int]) -> int:
        """Only versions whose logs are out already; a later one comes with the next pass."""
        rows = [
            r for r in cejobs.unseen(connection, db.SOURCE, limit=BATCH, lock=True) if versions.get(r.id) == r.version
        ]
        jobs = db.get(connection, list({r.appjob_id for r in rows}), lock=True)
        clock = meta.clock(connection)
        places = ces.urls(connection, {r.ce_id for r in rows if r.ce_id is not None})
        paths = [
            _path(jobs[r.appjob_id], r, places.get(r.ce_id), clock)
            for r in rows
            if r.appjob_id in jobs and jobs[r.appjob_id].cejob_id == r.id
        ]
        for step in (0, 1):
            moves = [path[step] for path in paths if len(path) > step]
            db.move(connection, moves, who=self.name)
        cejobs.acknowledge(connection, {r.id: r.version for r in rows})
        for event in (CEEvent.FETCH, CEEvent.CLEAN):
            ids = [r.id for r in rows if _wish(r) == event]
            cejobs.wish(connection, ids, event, who="application", why="the job ended")
        return len(rows)

    def _publish(self, ended: Sequence[AnyRow]) -> None:
        """Copy fetched files into the joblog; a second copy is the same as the first."""
        jobs = self.db.read("jobs", lambda c: db.get(c, list({r.appjob_id for r in ended})))
        known = self.db.read("specs", lambda c: specs.get(c, [r.jobspec_id for r in ended]))
        for row in ended:
            job, spec = jobs.get(row.appjob_id), known[row.jobspec_id]
            if job is None or row.ce_job_id is None:
                continue
            for name in spec.fetch:
                ending = "out" if name == spec.stdout else "log"
                self._copy(stored_as(row.id, name), joblog_name(job, ending))

    def _copy(self, source: str, target: str) -> None:
        try:
            with self.context.store.open(source) as there, self.joblog.write(target) as here:
                shutil.copyfileobj(there, here)
        except OutputMissing:
            return  # the CE did not have it


def _path(job: AnyRow, row: AnyRow, place: str | None, clock: float) -> list[Move]:
    """The moves, one after the other, that an attempt's state means for its job; [] where nothing is new."""
    told = {"computing_element": place, "node": row.node, "exit_code": row.exit_code}
    facts = {k: v for k, v in told.items() if v is not None}
    if row.state in FOLLOWS:
        return _alive(job, row, FOLLOWS[row.state], facts)
    facts |= {"due": NOW, "end_time": clock}
    if row.state == "done":
        events = [Event.KILLED] if job.state == "tobekilled" else [Event.ENDED, Event.VALID]
        return _steps(job, events, "the CE says it ended well", facts)
    if _is_over(row):
        code, diag = _verdict(job, row)
        facts |= {"error_code": code, "error_diag": diag[:500]}
        events = [Event.KILLED] if job.state == "tobekilled" else [Event.BROKEN, Event.CLEANED]
        return _steps(job, events, diag, facts)
    return []


def _alive(job: AnyRow, row: AnyRow, event: Event, facts: dict[str, Any]) -> list[Move]:
    step = PANDAJOB.step(job.state, event)
    if step is None or step.target == job.state:
        return []
    if event == Event.RUNNING:  # from here on the pilot speaks for itself
        facts |= {"sendhb": False, "due": None, "start_time": row.since}
    else:
        facts |= {"sendhb": True, "due": NOW}
    return [Move(job.id, job.state, event, f"the attempt is {row.state}", facts)]


def _steps(job: AnyRow, events: Sequence[Event], why: str, facts: Mapping[str, Any]) -> list[Move]:
    """Several steps; they end where a state has no such step."""
    moves, state = [], job.state
    for event in events:
        step = PANDAJOB.step(state, event)
        if step is None:
            break
        moves.append(Move(job.id, state, event, why, facts))
        state = step.target
    return moves


def _is_over(row: AnyRow) -> bool:
    """The attempt ended badly and there is nothing left to fetch from the CE."""
    return row.state in ("donefailed", "lost") or (row.state == "cancelled" and row.ce_job_id is None)


def _wish(row: AnyRow) -> str | None:
    """What the application wants next of an attempt in this state."""
    if row.state == "failed" or (row.state == "cancelled" and row.ce_job_id is not None):
        return CEEvent.FETCH
    return CEEvent.CLEAN if row.state in ENDED else None


def _verdict(job: AnyRow, row: AnyRow) -> tuple[int, str]:
    """(pilot error code, text) of a job that ended badly."""
    if job.state == "tobekilled":
        return KILLED_CODE, "killed on request"
    if row.state == "lost":
        return LOST_CODE, "the CE gave no word of the job for too long"
    return FAILED_CODE, row.error or f"the CE says {row.ce_state or 'nothing'}"
