"""Fetcher: brings the files of ended attempts from the CE into the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, cast

from act.daemons.base import Daemon, Key, Lane
from act.daemons.lease import Lease
from act.db import cejobs, specs
from act.db.engine import AnyRow
from act.db.moves import Move
from act.errors import JobGone, OutputMissing
from act.interfaces import ComputeElement
from act.model import JobSpec
from act.states import Event

MB = 1_000_000


def stored_as(cejob_id: int, name: str) -> str:
    """Where the store keeps a fetched file: one folder per attempt, a thousand attempts per parent."""
    return f"results/{cejob_id // 1000}/{cejob_id}/{name.removeprefix('diagnose=')}"


class _TooLarge(OutputMissing):
    """The file has more bytes than are fetched."""


class _Bounded:
    """A file that takes so many bytes, and not one more: jobs decide what they write, not how full the store gets."""

    def __init__(self, file: BinaryIO, most_mb: int) -> None:
        self._file, self._most_mb, self._left = file, most_mb, most_mb * MB

    def write(self, data: bytes) -> int:
        """Raises OutputMissing at the end of what it takes."""
        self._left -= len(data)
        if self._left < 0:
            raise _TooLarge(f"is larger than {self._most_mb} MB (polling/fetch_max_mb)")
        return self._file.write(data)


class Fetcher(Daemon):
    """Fetches what a specification names; what the CE does not have, or too much of, is noted, not waited for."""

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
                moves.append(self._fetch(ce, row, jobs[row.jobspec_id], lease))
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

    def _fetch(self, ce: ComputeElement, row: AnyRow, spec: JobSpec, lease: Lease) -> Move:
        if row.ce_job_id is None:
            return Move(row.id, row.state, Event.UNFETCHED, "it never was at a CE")
        lacking = []
        for name in spec.fetch:
            lease.check()
            try:
                with self.context.store.write(stored_as(row.id, name)) as out:
                    bounded = _Bounded(out, self.context.config.polling.fetch_max_mb)
                    ce.fetch(row.ce_job_id, name, cast(BinaryIO, bounded))
            except _TooLarge as error:
                lacking.append(f"{name} {error}")
            except OutputMissing:
                lacking.append(f"the CE has no {name}")
            except JobGone:
                return Move(row.id, row.state, Event.UNFETCHED, "the CE no longer knows the job")
        return Move(row.id, row.state, Event.FETCHED, "; ".join(lacking))
