"""heartbeat: tells PanDA of its jobs in bulk, the longest overdue first, obeys its commands, reports ends until heard.

A job's ``due`` time is pushed ahead when it is taken, so that a crash only delays the word, and never doubles a claim.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from act.daemons.base import Key
from act.db import cejobs, meta
from act.db.engine import NOW, AnyRow
from act.db.moves import Move
from act.states import Event as CEEvent
from act_atlas import db
from act_atlas.daemons.base import AtlasDaemon
from act_atlas.daemons.panda2ce import joblog_name
from act_atlas.panda import JobStatus, JobUpdate, UpdateResult
from act_atlas.states import ALIVE, TO_REPORT, Event

log = logging.getLogger(__name__)

BATCH = 500
STATUS = {"sent": "starting", "starting": "starting", "running": "running", "transferring": "transferring"}
# PanDA has had a final report, or has ended the job itself.
KNOWS_END = frozenset({"holding", "merging", "transferring", "finished", "failed", "cancelled", "closed"})
OVER = frozenset({"tobekilled", "alreadydone", "badattemptnr"})
NO_REPORT_CODE = 9000


class Heartbeat(AtlasDaemon):
    """One bounded batch a pass."""

    kind = "heartbeat"

    def work(self, lane: Key) -> int:
        panda = self.atlas.panda
        rows = self.db.run("due", lambda c: db.take_due(c, limit=BATCH, again_s=panda.retry_s))
        if not rows:
            return 0
        ended = [r for r in rows if r.state in TO_REPORT]
        alive = [r for r in rows if r.state in ALIVE or r.state == "tobekilled"]
        silent = [r for r in rows if r.state not in (*TO_REPORT, *ALIVE, "tobekilled") or not _speaks(r)]
        if silent:
            self.db.run("silent", lambda c: db.set_values(c, [r.id for r in _unmoved(c, silent)], due=None))
        speaking = [r for r in alive if _speaks(r)]
        if speaking:
            self._tell(speaking)
        if ended:
            self._report(ended)
        return len(rows)

    def _tell(self, rows: Sequence[AnyRow]) -> None:
        """Heartbeats of jobs that the tower speaks for."""
        results = self.panda().update_bulk([self._heartbeat(r) for r in rows])
        answered = dict(zip([r.id for r in rows], results, strict=True))
        over = [r for r in rows if r.state in ALIVE and answered[r.id].commands & OVER]
        known = self.panda().job_status([r.pandaid for r in over]) if over else {}
        won = [r.id for r in over if _has_won(known.get(r.pandaid))]

        def write(connection: Connection) -> None:
            here = _unmoved(connection, rows)
            told = {r.id: STATUS.get(r.state, "starting") for r in here if answered[r.id].accepted}
            db.told(connection, told, next_s=self.atlas.panda.heartbeat_s)
            db.set_values(connection, [r.id for r in here if r.id in won], sendhb=False, due=None)
            self._obey(connection, [r for r in over if r.id not in won], answered)

        self.db.run("told", write)
        _log_refused(rows, answered)

    def _heartbeat(self, row: AnyRow) -> JobUpdate:
        url = f"{self.atlas.joblog.urlprefix}/{joblog_name(row, 'out')}"
        return JobUpdate(
            job_id=row.pandaid,
            job_status=STATUS.get(row.state, row.told or "starting"),
            attempt_nr=row.attempt_nr,
            site_name=row.queue,
            scheduler_id=self.atlas.panda.schedulerid,
            pilot_id=f"{url}|Unknown|Unknown|Unknown|Unknown",
            node=row.node,
            core_count=row.cores,
            job_metrics=f"coreCount={row.cores}",
        )

    def _obey(self, connection: Connection, doomed: Sequence[AnyRow], answered: Mapping[int, UpdateResult]) -> None:
        """PanDA wants these jobs' end, or has ended them."""
        if not doomed:
            return
        moves = [Move(r.id, r.state, Event.KILL, f"PanDA says {_words(answered[r.id])}") for r in doomed]
        killed = db.move(connection, moves, who=self.name)
        attempts = [r.cejob_id for r in doomed if r.id in killed and r.cejob_id is not None]
        cejobs.wish(connection, attempts, CEEvent.CANCEL, who="application", why="PanDA wants its end")
        unborn = [Move(r.id, "tobekilled", Event.KILLED, "it had no attempt yet", {"due": NOW})
                  for r in doomed if r.id in killed and r.cejob_id is None]  # fmt: skip
        db.move(connection, unborn, who=self.name)

    def _report(self, rows: Sequence[AnyRow]) -> None:
        """Final reports, where PanDA does not know the end yet."""
        known = self.panda().job_status([r.pandaid for r in rows])
        clock = self.db.read("clock", meta.clock)
        delivered = {r.id: "PanDA knows" for r in rows if _knows(known.get(r.pandaid))}
        open_rows = [r for r in rows if r.id not in delivered]
        patient = [r for r in open_rows if self._may_still_come(r, clock)]
        updates = [self._final(r) for r in open_rows if r not in patient]
        results = self.panda().update_bulk(updates) if updates else []
        answered = dict(zip([r.id for r in open_rows if r not in patient], results, strict=True))
        delivered |= {i: "PanDA took the report" for i, a in answered.items() if a.accepted or a.commands & OVER}
        moves = [
            Move(r.id, r.state, Event.REPORTED, delivered[r.id], {"due": None, **_told(answered.get(r.id))})
            for r in rows
            if r.id in delivered
        ]
        self.db.run("reported", lambda c: db.move(c, moves, who=self.name))
        _log_refused(rows, answered)

    def _may_still_come(self, row: AnyRow, clock: float) -> bool:
        """A pilot that ended well gets some time: its own report may be on the way."""
        return bool(row.state == "finished" and clock - row.since < self.atlas.panda.final_grace_s)

    def _final(self, row: AnyRow) -> JobUpdate:
        diag = row.error_diag or "the pilot ended without a report"
        return JobUpdate(
            job_id=row.pandaid,
            job_status="failed",
            attempt_nr=row.attempt_nr,
            site_name=row.queue,
            scheduler_id=self.atlas.panda.schedulerid,
            node=row.node,
            core_count=row.cores,
            start_time=row.start_time,
            end_time=row.end_time,
            pilot_error_code=row.error_code or NO_REPORT_CODE,
            pilot_error_diag=diag,
            trans_exit_code=row.exit_code,
        )


def _unmoved(connection: Connection, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """The rows that have not moved since they were read; when others are due was said by the move."""
    there = db.get(connection, [r.id for r in rows], lock=True)
    return [r for r in rows if r.id in there and there[r.id].version == r.version]


def _speaks(row: AnyRow) -> bool:
    """Whether the tower is the one to speak for the job now."""
    return bool(row.sendhb) or row.state in TO_REPORT


def _knows(status: JobStatus | None) -> bool:
    """PanDA knows the end; a job it does not know at all it has archived."""
    return status is None or status.status in KNOWS_END


def _has_won(status: JobStatus | None) -> bool:
    """The pilot's success is known to PanDA before the CE tells of its start; no reason to kill anything."""
    return status is not None and status.status == "finished"


def _told(result: UpdateResult | None) -> dict[str, str]:
    """What goes into the row: the tower's own reports all say failed; where PanDA knew already none was sent."""
    return {"told": "failed"} if result is not None else {}


def _words(result: UpdateResult) -> str:
    return ", ".join(sorted(result.commands))


def _log_refused(rows: Sequence[AnyRow], answered: Mapping[int, UpdateResult]) -> None:
    """PanDA's objections; all such updates are sent again later."""
    for row in rows:
        result = answered.get(row.id)
        if result is not None and not result.accepted and not result.commands:
            level = logging.WARNING if result.retry else logging.ERROR
            log.log(level, "job %d: PanDA did not take the update: %s", row.pandaid, result.error)
