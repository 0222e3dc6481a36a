"""Fetcher: brings the files of ended attempts from the CE into the store."""

from __future__ import annotations

from collections.abc import Sequence

from act.daemons.base import Daemon, Key, Lane
from act.daemons.lease import Lease
from act.db import cejobs, specs
from act.db.engine import AnyRow
from act.db.moves import Move
from act.errors import JobGone, OutputMissing
from act.interfaces import ComputeElement
from act.model import JobSpec
from act.states import Event


def stored_as(cejob_id: int, name: str) -> str:
    """Where the store keeps a fetched file: one folder per attempt, a thousand attempts per parent."""
    return f"results/{cejob_id // 1000}/{cejob_id}/{name.removeprefix('diagnose=')}"


class Fetcher(Daemon):
    """Fetches what the job's specification names; what the CE does not have is noted, not waited for."""

    kind = "fetcher"
    states = ("finished", "tofetch")

    def lanes(self) -> Sequence[Key]:
        return [Lane(*pair) for pair in self.db.read("lanes", lambda c: cejobs.lanes(c, self.flavour, self.states))]

    def work(self, lane: Key) -> int:
        assert isinstance(lane, Lane)
        moved = 0
        for state in self.states:
            moved += self._fetch_state(lane, state)
        return moved

    def _fetch_state(self, lane: Lane, state: str) -> int:
        lease = self.claim()
        limit = self.context.config.polling.fetch_batch
        rows = self.db.run(
            "claim",
            lambda c: cejobs.claim(c, *lane, state, holder=lease.holder, lease_s=lease.lease_s, limit=limit),
        )
        if not rows:
            return 0
        jobs = self.db.read("specs", lambda c: specs.get(c, [r.jobspec_id for r in rows]))
        moves: list[Move] = []
        try:
            ce = self.context.ce(lane)
            for row in rows:
                lease.check()
                moves.append(self._fetch(ce, row, jobs[row.jobspec_id]))
        finally:
            self._write(moves, rows, lease)
        return len(moves)

    def _write(self, moves: list[Move], rows: Sequence[AnyRow], lease: Lease) -> None:
        """What was fetched is done; the rest is free again."""
        left = [r.id for r in rows if r.id not in {m.id for m in moves}]
        if moves:
            self.db.run("fetched", lambda c: cejobs.move(c, moves, who=self.name, holder=lease.holder))
        if left:
            self.db.run("release", lambda c: cejobs.release(c, left, holder=lease.holder))

    def _fetch(self, ce: ComputeElement, row: AnyRow, spec: JobSpec) -> Move:
        missing = []
        if row.ce_job_id is None:
            return Move(row.id, row.state, Event.UNFETCHED, "it never was at a CE")
        for name in spec.fetch:
            try:
                with self.context.store.write(stored_as(row.id, name)) as out:
                    ce.fetch(row.ce_job_id, name, out)
            except OutputMissing:
                missing.append(name)
            except JobGone:
                return Move(row.id, row.state, Event.UNFETCHED, "the CE no longer knows the job")
        return Move(row.id, row.state, Event.FETCHED, f"the CE has no {', '.join(missing)}" if missing else "")
