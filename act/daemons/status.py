"""Status: asks CEs what became of their jobs and writes down what changed. Silence changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from act.daemons.base import Daemon, Key, Lane
from act.db import cejobs, lanes
from act.db.engine import AnyRow, chunks
from act.db.moves import Move
from act.errors import JobGone
from act.interfaces import ComputeElement
from act.model import CEStatus
from act.states import CEJOB, MAX_SUBMISSIONS, Event

FOLLOWED = ("submitted", "holding", "running", "finishing", "cancelling")
# Nothing to ask about, but other daemons need the CE for these.
AWAITED = ("submitting", "created", "torerun", "tocancel", "finished", "tofetch", "toclean")


class Status(Daemon):
    """Polls every lane once per interval, in bulk; one process at a time polls a lane."""

    kind = "status"

    def lanes(self) -> Sequence[Key]:
        every = self.context.config.polling.status_s
        return [Lane(*pair) for pair in self.db.read("lanes", lambda c: lanes.due(c, self.flavour, "polled", every))]

    def work(self, lane: Key) -> int:
        assert isinstance(lane, Lane)
        lease = self.claim()
        if not self.db.run("poll", lambda c: lanes.try_poll(c, *lane, lease.holder, lease.lease_s)):
            return 0
        try:
            moved = self._poll_all(lane)
        except BaseException:
            self.db.run("unpoll", lambda c: lanes.unclaim(c, *lane, lease.holder))
            raise
        silent_s = self.context.config.polling.silent_s
        self.db.run("polled", lambda c: lanes.polled(c, *lane, silent_s))
        return moved

    def _poll_all(self, lane: Lane) -> int:
        """All rows of the lane, in slices that memory can hold."""
        ce: ComputeElement | None = None
        moved, after = 0, 0
        limit = self.context.config.polling.status_batch
        while True:
            rows = self.db.read("followed", partial(cejobs.at_ce, lane=lane, states=FOLLOWED, after=after, limit=limit))
            if not rows:
                break
            ce = ce or self.context.ce(lane)
            moved += sum(self._poll(ce, part) for part in chunks(rows, ce.status_batch))
            after = rows[-1].id
        if ce is None and self.db.read("awaited", lambda c: cejobs.any_at_ce(c, lane, AWAITED)):
            self.context.ce(lane).probe()  # deadlines lean on whether the CE speaks
        return moved

    def _poll(self, ce: ComputeElement, rows: Sequence[AnyRow]) -> int:
        answers = ce.status([r.ce_job_id for r in rows])
        moves, missing, back = [], [], []
        for row in rows:
            answer = answers.get(row.ce_job_id)
            if isinstance(answer, JobGone):
                if row.missing_at is None:
                    missing.append(row.id)
                elif row.missing_s > self.context.config.polling.missing_s:
                    moves.append(Move(row.id, row.state, Event.GONE, "twice unknown to the CE", version=row.version))
            elif isinstance(answer, CEStatus):
                if row.missing_at is not None:
                    back.append(row.id)
                if move := self._change(row, answer):
                    moves.append(move)
        if not (moves or missing or back):
            return 0

        def write(connection: Any) -> dict[int, str]:
            cejobs.mark_missing(connection, missing)
            cejobs.set_values(connection, back, missing_at=None)
            return cejobs.move(connection, moves, who=self.name)

        return len(self.db.run("changes", write))

    def _change(self, row: AnyRow, status: CEStatus) -> Move | None:
        """The move that a CE's answer means for a row, None if nothing is new."""
        event = status.event
        if event in (Event.FAILED, Event.STAGEFAILED) and self._is_stale(row):
            return None
        if status.armed is False and row.submission < MAX_SUBMISSIONS:
            event = Event.UNARMED
        if event == Event.STAGEFAILED and not self._rerun(row, status):
            event = Event.FAILED
        step = CEJOB.step(row.state, event) if event else None
        if step is None or (step.target == row.state and status.ce_state == row.ce_state):
            return None
        values: dict[str, Any] = {"ce_state": status.ce_state}
        told = {"exit_code": status.exit_code, "node": status.node or None, "wall_s": status.wall_s}
        told |= {"cpu_s": status.cpu_s, "memory_mb": status.memory_mb, "error": status.error[:2000] or None}
        values |= {k: v for k, v in told.items() if v is not None}
        if event == Event.STAGEFAILED:
            values["reruns"] = row.reruns - 1
        assert event is not None
        return Move(row.id, row.state, event, _why(status), values, version=row.version)

    def _is_stale(self, row: AnyRow) -> bool:
        """A failure told soon after a restart may still be the one that the restart was for."""
        return row.restarted_s is not None and row.restarted_s < self.context.config.polling.lag_s

    def _rerun(self, row: AnyRow, status: CEStatus) -> bool:
        """Failed staging is worth another try while there are tries, and the error is one of those configured."""
        texts = self.context.config.errors.rerun
        return row.state != "cancelling" and row.reruns > 0 and (not texts or any(t in status.error for t in texts))


def _why(status: CEStatus) -> str:
    said = f"the CE says {status.ce_state}"
    if status.exit_code is not None:
        said += f", exit code {status.exit_code}"
    return f"{said}: {status.error[:500]}" if status.error else said
