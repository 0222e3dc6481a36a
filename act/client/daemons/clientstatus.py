"""clientstatus: carries what became of attempts over to jobs, removes what nobody needs, and sees that nobody is
forgotten."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from act.client import db
from act.client.changes import AFRESH
from act.client.daemons.sweep import Sweep
from act.client.identity import Gate
from act.client.states import DEADLINES, Event, limits
from act.client.tables import APP, LEDGER
from act.client.upload import input_folder
from act.daemons.base import Daemon, Key
from act.daemons.context import Context
from act.db import cejobs, waiting
from act.db.engine import AnyRow
from act.db.moves import Move
from act.errors import StorageUnavailable
from act.log import about
from act.states import ENDED
from act.states import Event as CEEvent
from act.storage import live_folder, result_folder

log = logging.getLogger(__name__)

BATCH = 500
REMOVED = 50  # jobs of one pass whose files are removed
LOOK_S = 60.0
REST_S = 600.0  # of a job whose files could not be removed
# What a job shows as while its attempt is in a state of another name.
SHOWN = {"created": "submitting", "failed": "tofetch"}
ENDS = {
    "done": (Event.DONE, "done"),
    "donefailed": (Event.BROKEN, "donefailed"),
    "lost": (Event.BROKEN, "lost"),
    "cancelled": (Event.STOPPED, "cancelled"),
}


class ClientStatus(Daemon):
    """One bounded batch of each kind of work a pass."""

    kind = "clientstatus"

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        super().__init__(context, name, flavour)
        self._gate = Gate(context.config, context.db)
        self._sweep = Sweep(context.db, context.store)
        self._look_due = 0.0

    def work(self, lane: Key) -> int:
        changed = self.db.read("unseen", lambda c: cejobs.unseen(c, APP, limit=BATCH, lock=False))
        moved = self.db.run("follow", lambda c: self._follow(c, changed)) if changed else 0
        if time.monotonic() >= self._look_due:
            self._look_due = time.monotonic() + LOOK_S
            self.db.run("deadlines", self._enforce_deadlines)
            self.db.run("people", self._gate.sweep)
            self._sweep.one_more()
        return moved + self._remove()

    # -- following -------------------------------------------------------------------------------------------------

    def _follow(self, connection: Connection, changed: Sequence[AnyRow]) -> int:
        """Jobs are held before their attempts are read again, as those do who wish something of them."""
        jobs = db.get(connection, sorted({r.appjob_id for r in changed}), lock=True)
        rows = cejobs.get(connection, [r.id for r in changed])
        current = [r for r in rows.values() if r.appjob_id in jobs and jobs[r.appjob_id].cejob_id == r.id]
        alive = [r for r in current if jobs[r.appjob_id].state == "active"]
        self._show(connection, jobs, [r for r in alive if r.state not in ENDED])
        self._end(connection, jobs, [r for r in alive if r.state in ENDED])
        cejobs.acknowledge(connection, {r.id: r.version for r in rows.values()})
        failed = [r.id for r in alive if r.state == "failed"]
        over = [r.id for r in rows.values() if r.state in ENDED or (r.state == "failed" and r not in alive)]
        cejobs.wish(connection, failed, CEEvent.FETCH, who="application", why="its owner will want to see why")
        cejobs.wish(connection, over, CEEvent.CLEAN, who="application", why="the job has ended")
        return len(rows)

    def _show(self, connection: Connection, jobs: Mapping[int, AnyRow], rows: Sequence[AnyRow]) -> None:
        """How attempts go on, for people."""
        words = {r.appjob_id: _shown(jobs[r.appjob_id], r.state) for r in rows}
        db.mark(connection, {i: {"shown": word} for i, word in words.items() if word != jobs[i].shown})

    def _end(self, connection: Connection, jobs: Mapping[int, AnyRow], rows: Sequence[AnyRow]) -> None:
        why = db.last_words(connection, [r.id for r in rows if r.state != "done"])
        back = waiting.never_ran(connection, rows)
        moves, ended = [], {}
        for row in rows:
            job = jobs[row.appjob_id]
            if row.id in back and not job.killed:
                moves.append(Move(job.id, "active", Event.REQUEUE, "its attempt left its CE before it ran", AFRESH))
                continue
            event, shown = ENDS[row.state]
            said = job.error if event == Event.STOPPED and job.error else _error(row, why.get(row.id, ""))
            moves.append(Move(row.appjob_id, "active", event, said, {"shown": shown, "error": said or None}))
            ended[row.id] = job
        moved = db.move(connection, moves, who=self.name)
        db.note_results(connection, {i: job for i, job in ended.items() if job.id in moved})

    # -- removing --------------------------------------------------------------------------------------------------

    def _remove(self) -> int:
        """Files first, rows last: who dies in between begins again."""
        rows = self.db.read("removable", lambda c: db.removable(c, limit=REMOVED))
        if not rows:
            return 0
        attempts = self.db.read("attempts", lambda c: db.attempts_of(c, [r.id for r in rows]))
        gone: list[AnyRow] = []
        for row in rows:
            try:
                self._remove_files(row.id, [a.id for a in attempts if a.appjob_id == row.id])
            except StorageUnavailable as error:
                log.error("the files of job %d cannot be removed: %s", row.id, error, extra=about(row.id, LEDGER.kind))
                if row.age_s < DEADLINES["toclean"].seconds:
                    continue
            gone.append(row)
        if left := [r.id for r in rows if r not in gone]:
            self.db.run("rest", lambda c: db.rest(c, left, REST_S))
        return self.db.run("removed", lambda c: self._drop(c, gone)) if gone else 0

    def _remove_files(self, job_id: int, attempt_ids: Sequence[int]) -> None:
        folders = [f(i) for i in attempt_ids for f in (result_folder, live_folder)]
        for folder in (input_folder(job_id), *folders):
            self.context.store.remove(folder)

    def _drop(self, connection: Connection, rows: Sequence[AnyRow]) -> int:
        moves = [Move(r.id, "toclean", Event.CLEANED, "", version=r.version) for r in rows]
        moved = db.move(connection, moves, who=self.name)
        db.drop(connection, list(db.get(connection, sorted(moved)).values()))
        return len(moved)

    # -- deadlines -------------------------------------------------------------------------------------------------

    def _enforce_deadlines(self, connection: Connection) -> None:
        for state, seconds in limits(self.context.config).items():
            if state == "toclean":
                continue  # its files are given up when they are to be removed once more
            deadline = DEADLINES[state]
            rows = db.overdue(connection, state, seconds, limit=BATCH)
            values = _given_up(state, deadline.why)
            moves = [Move(r.id, r.state, deadline.event, deadline.why, values, r.version) for r in rows]
            moved = db.move(connection, moves, who=self.name)
            if state == "active":
                attempts = [r.cejob_id for r in rows if r.id in moved]
                cejobs.wish(connection, attempts, CEEvent.CANCEL, who="application", why=deadline.why)


def _given_up(state: str, why: str) -> dict[str, Any]:
    """What a job says whose time is up. Of an attempt that did not end nobody knows whether it still runs."""
    if DEADLINES[state].event in (Event.ABANDON, Event.CLEAN):
        return {"shown": "toclean"}
    return {"shown": "lost" if state == "active" else "donefailed", "error": why}


def _shown(job: AnyRow, state: str) -> str:
    """In words of the attempt's state; while a kill has not reached it, that is what is shown."""
    if job.killed and state not in ("cancelling", "finished", "failed", "tofetch"):
        return "tocancel"
    return SHOWN.get(state, state)


def _error(row: AnyRow, why: str) -> str:
    if row.state == "done":
        return ""
    return row.error or why or f"its attempt is {row.state}"
