"""pandastatus: carries what became of attempts over to their PanDA jobs, and publishes logs of ended ones."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO

from sqlalchemy import Connection

from act.daemons.base import Key
from act.daemons.context import Context
from act.db import cejobs, ces, meta, specs, waiting
from act.db.engine import NOW, AnyRow
from act.db.moves import Move
from act.errors import OutputMissing
from act.model import JobSpec
from act.states import ENDED
from act.states import Event as CEEvent
from act.storage import result_name
from act_atlas import db, outcome
from act_atlas.conversion.arc import HEARTBEAT
from act_atlas.daemons.base import AtlasDaemon
from act_atlas.db.outputs import LeftBehind
from act_atlas.joblog import joblog_name
from act_atlas.outcome import Left, Outcome
from act_atlas.report import BadReport, log_extract, read_report
from act_atlas.states import PANDAJOB, Event

BATCH = 500
ENDED_BATCH = 50  # their reports are in memory together, and may be large
LOOK_S = 10.0
FOLLOWS = {
    "tosubmit": Event.WAITING,
    "quarantined": Event.WAITING,
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

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        super().__init__(context, name, flavour)
        self._look_due = 0.0

    def work(self, lane: Key) -> int:
        moved = 0
        if time.monotonic() >= self._look_due:
            self._look_due = time.monotonic() + min(LOOK_S, self.atlas.panda.transferring_after_s)
            moved = self.db.run("stageout", self._note_stageout)
        changed = self.db.read("unseen", lambda c: cejobs.unseen(c, db.SOURCE, limit=BATCH, lock=False))
        if not changed:
            return moved
        ended = [r for r in changed if r.state in ENDED][:ENDED_BATCH]
        left = self._gather(ended)
        versions = {r.id: r.version for r in (*ended, *(r for r in changed if r.state not in ENDED))}
        return moved + self.db.run("follow", lambda c: self._follow(c, versions, left))

    def _note_stageout(self, connection: Connection) -> int:
        """PanDA hears of a stage-out only if it takes its time."""
        rows = db.staging_out(connection, self.atlas.panda.transferring_after_s, limit=BATCH)
        why = f"the CE has been staging out for {self.atlas.panda.transferring_after_s:.0f} s"
        moves = [Move(r.id, "running", Event.FINISHING, why, {"due": NOW}, version=r.version) for r in rows]
        return len(db.move(connection, moves, who=self.name))

    def _follow(self, connection: Connection, versions: Mapping[int, int], left: Mapping[int, Left]) -> int:
        """Only versions whose files were read already; a later one comes with the next pass."""
        rows = [
            r for r in cejobs.unseen(connection, db.SOURCE, limit=BATCH, lock=True) if versions.get(r.id) == r.version
        ]
        jobs = db.get(connection, list({r.appjob_id for r in rows}), lock=True)
        clock = meta.clock(connection)
        places = ces.urls(connection, {r.ce_id for r in rows if r.ce_id is not None})
        back = waiting.never_ran(connection, rows)
        paths: list[list[Move]] = []
        behind: list[LeftBehind] = []
        for row in rows:
            job = jobs.get(row.appjob_id)
            if job is None or job.cejob_id != row.id:
                continue
            told = {"computing_element": places.get(row.ce_id), "node": row.node, "exit_code": row.exit_code}
            facts = {k: v for k, v in told.items() if v is not None}
            if row.state in FOLLOWS:
                paths.append(_alive(job, row, FOLLOWS[row.state], facts))
            elif row.id in back:
                uncounted = {"attempts": max(job.attempts - 1, 0)}
                paths.append(_steps(job, outcome.of_requeued(job), uncounted))
            elif _is_over(row):
                paths.append(self._end(job, row, left.get(row.id, Left()), facts | {"end_time": clock}, behind))
        for step in (0, 1):
            moves = [path[step] for path in paths if len(path) > step]
            db.move(connection, moves, who=self.name)
        db.outputs.store_reports(connection, behind)
        cejobs.acknowledge(connection, {r.id: r.version for r in rows})
        for event in (CEEvent.FETCH, CEEvent.CLEAN):
            ids = [r.id for r in rows if (CEEvent.CLEAN if r.id in back else _wish(r)) == event]
            cejobs.wish(connection, ids, event, who="application", why="the job ended")
        return len(rows)

    def _end(self, job: AnyRow, row: AnyRow, left: Left, facts: dict[str, Any], behind: list[LeftBehind]) -> list[Move]:
        """The attempt is over: what that means is decided; what the pilot left is added to ``behind``."""
        if job.truepilot:
            return _steps(job, outcome.of_true_pilot(job, row), facts)
        decided = outcome.of_nordugrid(job, row, left, self.atlas.errors)
        moves = _steps(job, decided, facts)
        if moves:
            report = left.report.to_json() if left.report is not None else None
            behind.append(LeftBehind(job.id, report, left.extract, decided.files, decided.wish))
        return moves

    def _gather(self, ended: Sequence[AnyRow]) -> dict[int, Left]:
        """Publish the logs of attempts, and read what those left behind that the tower speaks for."""
        jobs = self.db.read("jobs", lambda c: db.get(c, list({r.appjob_id for r in ended}))) if ended else {}
        known = self.db.read("specs", lambda c: specs.get(c, [r.jobspec_id for r in ended])) if ended else {}
        left = {}
        for row in ended:
            job, spec = jobs.get(row.appjob_id), known[row.jobspec_id]
            if job is None or row.ce_job_id is None:
                continue
            names = _logs(spec)
            for ending, name in names.items():
                self._copy(result_name(row.id, name), joblog_name(job, ending))
            if not job.truepilot:
                left[row.id] = self._left(row, job, names)
        return left

    def _copy(self, source: str, target: str) -> None:
        with ExitStack() as files:
            there = self._open(files, source)
            if there is not None:
                shutil.copyfileobj(there, files.enter_context(self.joblog.write(target)))

    def _left(self, row: AnyRow, job: AnyRow, logs: Mapping[str, str]) -> Left:
        with ExitStack() as files:
            report = self._open(files, result_name(row.id, HEARTBEAT))
            try:
                if report is not None:
                    return Left(read_report(report, job.pandaid))
                why_not = f"the CE has no {HEARTBEAT}"
            except BadReport as error:
                why_not = str(error)
            opened = {ending: self._open(files, result_name(row.id, name)) for ending, name in logs.items()}
            return Left(None, why_not, log_extract(opened.get("out"), opened.get("log")))

    def _open(self, files: ExitStack, name: str) -> BinaryIO | None:
        """A file of the store; None where the CE did not have it."""
        try:
            return files.enter_context(self.context.store.open(name))
        except OutputMissing:
            return None


def _logs(spec: JobSpec) -> dict[str, str]:
    """Ending in the joblog -> name at the CE."""

    def ending(name: str) -> str:
        return "log" if name.startswith("diagnose=") else "err" if name == spec.stderr else "out"

    return {ending(name): name for name in spec.fetch if name != HEARTBEAT}


def _alive(job: AnyRow, row: AnyRow, event: Event, facts: dict[str, Any]) -> list[Move]:
    step = PANDAJOB.step(job.state, event)
    if step is None or step.target == job.state or (event == Event.RUNNING and job.state == "transferring"):
        return []
    if event == Event.RUNNING:
        facts["start_time"] = row.since
    if event == Event.RUNNING and job.truepilot:  # from here on the pilot speaks for itself
        facts |= {"sendhb": False, "due": None}
    else:
        facts |= {"sendhb": True, "due": NOW}
    return [Move(job.id, job.state, event, f"the attempt is {row.state}", facts)]


def _steps(job: AnyRow, decided: Outcome, facts: Mapping[str, Any]) -> list[Move]:
    """The moves of a decision; they end where a state has no such step."""
    moves, state = [], job.state
    values = {**facts, **decided.values(), "due": NOW}
    for event in decided.events:
        step = PANDAJOB.step(state, event)
        if step is None:
            break
        moves.append(Move(job.id, state, event, decided.why, values))
        state = step.target
    return moves


def _is_over(row: AnyRow) -> bool:
    """The attempt has ended and there is nothing left to fetch from the CE."""
    return row.state in ("done", "donefailed", "lost") or (row.state == "cancelled" and row.ce_job_id is None)


def _wish(row: AnyRow) -> str | None:
    """What the application wants next of an attempt in this state."""
    if row.state == "failed" or (row.state == "cancelled" and row.ce_job_id is not None):
        return CEEvent.FETCH
    return CEEvent.CLEAN if row.state in ENDED else None
