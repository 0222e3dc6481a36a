"""heartbeat: tells PanDA of its jobs in bulk, the longest overdue first, obeys its commands, reports ends until heard.

A job's ``due`` time is pushed ahead when it is taken, so that a crash only delays the word, and never doubles a claim.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from act.daemons.base import Key
from act.db import cejobs, meta
from act.db.engine import NOW, AnyRow
from act.db.moves import Move, note
from act.states import Event as CEEvent
from act_atlas import db, speech
from act_atlas.daemons.base import AtlasDaemon
from act_atlas.joblog import joblog_name
from act_atlas.outcome import KILLED_CODE
from act_atlas.panda import JobStatus, JobUpdate, UpdateResult
from act_atlas.report import PilotReport
from act_atlas.states import ALIVE, ON_STORAGE, PANDAJOB, TO_REPORT, Event

log = logging.getLogger(__name__)

BATCH = 500
TO_TELL = (*ALIVE, *ON_STORAGE, "tobekilled")
ENDS = (*TO_REPORT, *PANDAJOB.final)
CAN_BE_KILLED = PANDAJOB.from_event(Event.KILL)
# PanDA has had a final report, or has ended the job itself.
ENDED = frozenset({"finished", "failed", "cancelled", "closed"})
KNOWS_END = ENDED | {"holding", "merging", "transferring"}
OVER = frozenset({"tobekilled", "alreadydone", "badattemptnr"})


class Heartbeat(AtlasDaemon):
    """One bounded batch a pass."""

    kind = "heartbeat"

    def work(self, lane: Key) -> int:
        panda = self.atlas.panda
        rows = self.db.run("due", lambda c: db.take_due(c, limit=BATCH, again_s=panda.retry_s))
        if not rows:
            return 0
        ended = [r for r in rows if r.state in ENDS]
        alive = [r for r in rows if r.state in TO_TELL]
        silent = [r for r in rows if r.state not in (*ENDS, *TO_TELL) or not _speaks(r)]
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
        me = self.atlas.panda.schedulerid
        results = self.panda().update_bulk([speech.heartbeat(r, me, self._log_url(r)) for r in rows])
        answered = dict(zip([r.id for r in rows], results, strict=True))
        over = [r for r in rows if r.state in CAN_BE_KILLED and answered[r.id].commands & OVER]
        known = self.panda().job_status([r.pandaid for r in over]) if over else {}
        won = [r.id for r in over if _has_won(known.get(r.pandaid))]

        def write(connection: Connection) -> None:
            here = _unmoved(connection, rows)
            told = {r.id: speech.status_of(r) for r in here if answered[r.id].accepted}
            db.told(connection, told, next_s=self.atlas.panda.heartbeat_s)
            db.set_values(connection, [r.id for r in here if r.id in won], sendhb=False, due=None)
            self._obey(connection, [r for r in over if r.id not in won], answered)

        self.db.run("told", write)
        _log_refused(rows, answered)

    def _log_url(self, row: AnyRow) -> str:
        return f"{self.atlas.joblog.urlprefix}/{joblog_name(row, 'out')}"

    def _obey(self, connection: Connection, doomed: Sequence[AnyRow], answered: Mapping[int, UpdateResult]) -> None:
        """PanDA wants these jobs' end, or has ended them."""
        if not doomed:
            return
        moves = [Move(r.id, r.state, Event.KILL, f"PanDA says {_words(answered[r.id])}", _killed(r)) for r in doomed]
        killed = db.move(connection, moves, who=self.name)
        attempts = [r.cejob_id for r in doomed if r.id in killed and r.cejob_id is not None]
        cejobs.wish(connection, attempts, CEEvent.CANCEL, who="application", why="PanDA wants its end")
        db.outputs.want_removed(connection, [i for i, state in killed.items() if state == "toclean"])
        unborn = [Move(r.id, "tobekilled", Event.KILLED, "it had no attempt yet", {"due": NOW})
                  for r in doomed if killed.get(r.id) == "tobekilled" and r.cejob_id is None]  # fmt: skip
        db.move(connection, unborn, who=self.name)

    def _report(self, rows: Sequence[AnyRow]) -> None:
        """Final reports, where PanDA does not know the end yet, or no longer."""
        known = self.panda().job_status([r.pandaid for r in rows])
        clock = self.db.read("clock", meta.clock)
        delivered = {r.id: "PanDA knows" for r in rows if _knows(r, known.get(r.pandaid))}
        open_rows = [r for r in rows if r.id not in delivered]
        patient = [r for r in open_rows if self._may_still_come(r, clock)]
        due = [r for r in open_rows if r not in patient]
        left = self.db.read("reports", lambda c: db.outputs.reports(c, [r.id for r in due if not r.truepilot]))
        results = self.panda().update_bulk([self._final(r, left.get(r.id)) for r in due]) if due else []
        answered = dict(zip([r.id for r in due], results, strict=True))
        delivered |= {i: "PanDA took the report" for i, a in answered.items() if a.accepted or a.commands & OVER}
        moves = [
            Move(r.id, r.state, Event.REPORTED, delivered[r.id], {"due": None, **_told(answered.get(r.id))})
            for r in rows
            if r.id in delivered and r.state in TO_REPORT
        ]
        again = [r for r in rows if r.id in delivered and r.state in PANDAJOB.final]
        self.db.run("reported", lambda c: self._reported(c, moves, again, delivered))
        _log_refused(rows, answered)

    def _reported(
        self, connection: Connection, moves: Sequence[Move], again: Sequence[AnyRow], delivered: Mapping[int, str]
    ) -> None:
        """again: ends that an operator wanted to be told once more."""
        db.move(connection, moves, who=self.name)
        here = _unmoved(connection, again)
        db.set_values(connection, [r.id for r in here], due=None)
        notes = [(r.id, r.state, delivered[r.id]) for r in here]
        note(connection, db.LEDGER.kind, notes, who=self.name, event=Event.REPORTED)

    def _final(self, row: AnyRow, left: AnyRow | None) -> JobUpdate:
        report = PilotReport.from_json(left.report) if left is not None and left.report else None
        extract = left.extract if left is not None else ""
        return speech.final(row, self.atlas.panda.schedulerid, self._log_url(row), report, extract)

    def _may_still_come(self, row: AnyRow, clock: float) -> bool:
        """A pilot that ended well gets some time: its own report may be on the way."""
        return bool(row.truepilot and row.state == "finished" and clock - row.since < self.atlas.panda.final_grace_s)


def _unmoved(connection: Connection, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """The rows that have not moved since they were read; when others are due was said by the move."""
    there = db.get(connection, [r.id for r in rows], lock=True)
    return [r for r in rows if r.id in there and there[r.id].version == r.version]


def _speaks(row: AnyRow) -> bool:
    """Whether the tower is the one to speak for the job now."""
    return bool(row.sendhb) or row.state in ENDS


def _knows(row: AnyRow, status: JobStatus | None) -> bool:
    """PanDA knows the end from the pilot; a job it does not know at all it has archived."""
    return status is None or status.status in (KNOWS_END if row.truepilot else ENDED)


def _has_won(status: JobStatus | None) -> bool:
    """The pilot's success is known to PanDA before the CE tells of its start; no reason to kill anything."""
    return status is not None and status.status == "finished"


def _told(result: UpdateResult | None) -> dict[str, str]:
    """What goes into the row: the tower's own reports all say failed; where PanDA knew already none was sent."""
    return {"told": "failed"} if result is not None else {}


def _killed(row: AnyRow) -> dict[str, Any]:
    """What the row says of a kill that comes when the attempt is over already."""
    return {"error_code": KILLED_CODE, "error_diag": "killed on request"} if row.state in ON_STORAGE else {}


def _words(result: UpdateResult) -> str:
    return ", ".join(sorted(result.commands))


def _log_refused(rows: Sequence[AnyRow], answered: Mapping[int, UpdateResult]) -> None:
    """PanDA's objections; all such updates are sent again later."""
    for row in rows:
        result = answered.get(row.id)
        if result is not None and not result.accepted and not result.commands:
            level = logging.WARNING if result.retry else logging.ERROR
            log.log(level, "job %d: PanDA did not take the update: %s", row.pandaid, result.error)
