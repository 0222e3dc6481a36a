"""Canceller: carries the wishes to kill and to restart to the CE. What came of them is told by the next polls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from act.daemons.base import Daemon, Key, Lane
from act.db import cejobs, credentials
from act.db.engine import NOW, AnyRow
from act.db.moves import Move
from act.errors import CERefused, JobError, JobGone
from act.interfaces import ComputeElement
from act.states import Event

Answers = Mapping[str, JobError | None]


class Canceller(Daemon):
    """Kills and restarts, in bulk per lane."""

    kind = "canceller"

    def lanes(self) -> Sequence[Key]:
        states = ("tocancel", "torerun")
        return [Lane(*pair) for pair in self.db.read("lanes", lambda c: cejobs.lanes(c, self.flavour, states))]

    def work(self, lane: Key) -> int:
        assert isinstance(lane, Lane)
        rerun_s = self.context.config.polling.rerun_s  # what made staging fail may take a while to go away
        return self._carry(lane, "tocancel", self._kill) + self._carry(lane, "torerun", self._restart, rerun_s)

    def _carry(
        self, lane: Lane, state: str, do: Callable[[Lane, ComputeElement, Sequence[AnyRow]], list[Move]],
        after_s: float = 0.0,
    ) -> int:  # fmt: skip
        lease = self.claim()
        claim = partial(
            cejobs.claim, holder=lease.holder, lease_s=lease.lease_s, limit=self.context.config.polling.cancel_batch,
            after_s=after_s,
        )  # fmt: skip
        rows = self.db.run("claim", lambda c: claim(c, *lane, state))
        if not rows:
            return 0
        moves: list[Move] = []
        try:
            ce = self.context.ce(lane)
            lease.check()
            moves = do(lane, ce, rows)
        finally:
            left = [r.id for r in rows if r.id not in {m.id for m in moves}]
            after_s = self.idle_s * 10  # a refusal is not asked for again at once
            self.db.run("release", lambda c: cejobs.release(c, left, holder=lease.holder, after_s=after_s))
        self.db.run(f"{state}-done", lambda c: cejobs.move(c, moves, who=self.name, holder=lease.holder))
        return len(moves)

    def _kill(self, lane: Lane, ce: ComputeElement, rows: Sequence[AnyRow]) -> list[Move]:
        """A job that the CE does not know counts as told: the polls decide whether it is gone."""
        answers = ce.kill([r.ce_job_id for r in rows])
        taken = [r for r in rows if not isinstance(answers.get(r.ce_job_id), CERefused)]
        return [Move(r.id, "tocancel", Event.KILLSENT) for r in taken]

    def _restart(self, lane: Lane, ce: ComputeElement, rows: Sequence[AnyRow]) -> list[Move]:
        """The job needs a fresh delegation first: staging may have failed because the old one ran out."""
        for delegation in self.db.read("remote", lambda c: credentials.live(c, *lane)):
            ce.renew(delegation.remote_id)
        answers = ce.restart([r.ce_job_id for r in rows])
        moves = []
        for row in rows:
            answer = answers.get(row.ce_job_id)
            if isinstance(answer, JobGone):
                moves.append(Move(row.id, "torerun", Event.GONE, "the CE no longer knows the job"))
            elif isinstance(answer, JobError):
                moves.append(Move(row.id, "torerun", Event.FAILED, f"the CE does not restart it: {answer}"))
            else:
                moves.append(Move(row.id, "torerun", Event.RESTARTED, "staging is tried again", {"restarted": NOW}))
        return moves
