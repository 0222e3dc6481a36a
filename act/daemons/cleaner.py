"""Cleaner: makes CEs forget ended jobs; a tracked obligation with its own retries."""

from __future__ import annotations

from collections.abc import Sequence

from act.daemons.base import Daemon, Key, Lane
from act.db import cejobs, specs
from act.db.engine import AnyRow
from act.db.moves import Move
from act.errors import JobGone
from act.states import Event
from act.storage import live_folder, result_folder


class Cleaner(Daemon):
    """Cleans at the CE and in the store."""

    kind = "cleaner"

    def lanes(self) -> Sequence[Key]:
        pairs = self.db.read("lanes", lambda c: cejobs.lanes(c, self.flavour, ("toclean",)))
        return [None, *(Lane(*pair) for pair in pairs)]

    def work(self, lane: Key) -> int:
        lease = self.claim()
        limit = self.context.config.polling.clean_batch
        rows = self.db.run(
            "claim",
            lambda c: (
                cejobs.claim(c, *lane, "toclean", holder=lease.holder, lease_s=lease.lease_s, limit=limit)
                if isinstance(lane, Lane)
                else cejobs.claim_placeless(
                    c, self.flavour, "toclean", holder=lease.holder, lease_s=lease.lease_s, limit=limit
                )
            ),
        )
        if not rows:
            return 0
        forgotten: list[AnyRow] = []
        try:
            forgotten = self._clean(lane, rows)
        finally:
            left = [r.id for r in rows if r not in forgotten]
            after_s = self.idle_s * 10  # the CE may need time to end a job that was killed
            self.db.run("release", lambda c: cejobs.release(c, left, holder=lease.holder, after_s=after_s))
        self._remove_files(forgotten)
        moves = [Move(r.id, "toclean", Event.CLEANED) for r in forgotten]
        self.db.run("cleaned", lambda c: cejobs.move(c, moves, who=self.name, holder=lease.holder))
        return len(moves)

    def _clean(self, lane: Key, rows: Sequence[AnyRow]) -> list[AnyRow]:
        """The rows that no CE holds anything of any more."""
        there = [r for r in rows if r.ce_job_id is not None]
        if not isinstance(lane, Lane) or not there:
            return list(rows)
        ce = self.context.ce(lane)
        answers = ce.clean([r.ce_job_id for r in there])
        stubborn = {i for i, a in answers.items() if a is not None and not isinstance(a, JobGone)}
        if stubborn:
            ce.kill(list(stubborn))  # not ended yet, such as a job that was given up as lost
        return [r for r in rows if r.ce_job_id not in stubborn]

    def _remove_files(self, rows: Sequence[AnyRow]) -> None:
        jobs = self.db.read("specs", lambda c: specs.get(c, [r.jobspec_id for r in rows]))
        for row in rows:
            folder = live_folder(row.id) if jobs[row.jobspec_id].keep else result_folder(row.id)
            self.context.store.remove(folder)
