"""Fetcher: brings the files of ended attempts from the CE into the store, and of running ones what people look at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from sqlalchemy import Connection

from act.daemons.base import Daemon, Key, Lane
from act.daemons.intake import MB, Intake, TooMuch
from act.daemons.lease import Lease
from act.db import cejobs, results, specs
from act.db.engine import AnyRow
from act.db.moves import Move
from act.db.results import ResultFile, Watch
from act.errors import BadJobSpec, JobGone, OutputMissing
from act.interfaces import ComputeElement
from act.model import JobSpec
from act.states import Event
from act.storage import live_name, result_name

_TOLD = 10  # files that are missing, in the history of a job
# Looking at running jobs comes after fetching what ended, and must not hold that up for long.
_LOOKS, _LOOKING_S, _GLANCE_S = 20, 10.0, 5.0
_AGAIN_S, _REST = 2.0, 4.0  # before the next look; and at least so many times what the last one took


@dataclass
class _Job:
    """A job whose files are brought. names: name in the store -> name at the CE; lacking: what is not brought, and
    why."""

    row: AnyRow
    names: dict[str, str] = field(default_factory=dict)
    files: dict[str, ResultFile] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return sum(file.size for file in self.files.values())

    def note(self) -> str:
        """What is to be said of it in the history."""
        more = len(self.lacking) - _TOLD
        return "; ".join(self.lacking[:_TOLD]) + (f"; and {more} more" if more > 0 else "")


class Fetcher(Daemon):
    """Fetches what a specification names; what the CE does not have, or too much of, is noted, not waited for."""

    kind = "fetcher"
    states = ("finished", "tofetch")

    def lanes(self) -> Sequence[Key]:
        def read(connection: Connection) -> set[tuple[int, int]]:
            found = set(cejobs.lanes(connection, self.flavour, self.states))
            return found | set(results.watching_lanes(connection, self.flavour))

        return [Lane(*pair) for pair in sorted(self.db.read("lanes", read))]

    def work(self, lane: Key) -> int:
        assert isinstance(lane, Lane)
        moved = 0
        for state in self.states:
            moved += self._fetch_state(lane, state)
        self._look(lane)
        return moved

    # -- ended jobs ----------------------------------------------------------------------------------------------

    def _fetch_state(self, lane: Lane, state: str) -> int:
        lease = self.claim()
        limit = self.context.config.polling.fetch_batch
        rows = self.db.run(
            "claim",
            lambda c: cejobs.claim(c, *lane, state, holder=lease.holder, lease_s=lease.lease_s, limit=limit),
        )
        if not rows:
            return 0
        wanted = self.db.read("specs", lambda c: specs.get(c, [r.jobspec_id for r in rows]))
        moves: list[Move] = []
        brought: dict[int, list[ResultFile]] = {}
        try:
            ce = self.context.ce(lane)
            for row in rows:
                job, spec = _Job(row), wanted[row.jobspec_id]
                try:
                    move = self._fetch(ce, job, spec, lease)
                finally:
                    if spec.keep:
                        brought[row.id] = list(job.files.values())
                if move is None:
                    break
                moves.append(move)
        finally:
            self._write(moves, brought, rows, lease)
        return len(moves)

    def _write(
        self, moves: list[Move], brought: dict[int, list[ResultFile]], rows: Sequence[AnyRow], lease: Lease
    ) -> None:
        """What was fetched is done; the rest is free again, and what there is of it need not be fetched again."""
        left = [r.id for r in rows if r.id not in {m.id for m in moves}]

        def write(connection: Connection) -> None:
            held = cejobs.get(connection, brought)
            for i in [i for i, row in held.items() if row.claimed_by == lease.holder]:
                results.note(connection, i, brought[i])
            cejobs.move(connection, moves, who=self.name, holder=lease.holder)

        if moves or any(brought.values()):
            self.db.run("fetched", write)
        if left:
            self.db.run("release", lambda c: cejobs.release(c, left, holder=lease.holder))

    def _fetch(self, ce: ComputeElement, job: _Job, spec: JobSpec, lease: Lease) -> Move | None:
        """None if the claim does not last for all: the rest comes in the next pass."""
        row = job.row
        if row.ce_job_id is None:
            return Move(row.id, row.state, Event.UNFETCHED, "it never was at a CE")
        if spec.keep:
            job.files = {f.name: f for f in self.db.read("brought", lambda c: results.brought(c, row.id))}
        lease.check()
        try:
            self._name_all(ce, job, spec)
            for kept, name in job.names.items():
                if kept in job.files:
                    continue
                if not lease.has_time_for(self.context.config.timeouts.transfer_s):
                    return None
                if not self._bring(ce, job, kept, name):
                    break
        except JobGone:
            return Move(row.id, row.state, Event.UNFETCHED, "the CE no longer knows the job")
        return Move(row.id, row.state, Event.FETCHED, job.note())

    def _name_all(self, ce: ComputeElement, job: _Job, spec: JobSpec) -> None:
        """Folders become the files in them."""
        for wanted in spec.fetch:
            names = [wanted]
            if wanted.endswith("/"):
                try:
                    names = ce.files(job.row.ce_job_id, wanted.strip("/"))
                except OutputMissing as error:
                    job.lacking.append(str(error))
                    continue
                if not names:
                    job.lacking.append(f"the CE has no files in {wanted}")
            for name in names:
                job.names.setdefault(name.removeprefix("diagnose="), name)

    def _bring(self, ce: ComputeElement, job: _Job, kept: str, name: str) -> bool:
        """One file; False if the job is to have no more."""
        polling = self.context.config.polling
        most = min(polling.fetch_max_mb * MB, polling.fetch_total_mb * MB - job.size)
        too_large = f"is larger than {polling.fetch_max_mb} MB (polling/fetch_max_mb)"
        try:
            if len(kept) > results.LONGEST_NAME:
                raise BadJobSpec("its name is too long")
            with self.context.store.write(result_name(job.row.id, name)) as out:
                intake = Intake(out, most, too_large)
                ce.fetch(job.row.ce_job_id, name, cast(BinaryIO, intake))
        except TooMuch as error:
            if most < polling.fetch_max_mb * MB:
                total = f"all its files are larger than {polling.fetch_total_mb} MB (polling/fetch_total_mb)"
                job.lacking.insert(0, f"{total}: {name} and what came after it was left at the CE")
                return False
            job.lacking.append(f"{name} {error}")
        except OutputMissing:
            job.lacking.append(f"the CE has no {name}")
        except BadJobSpec as error:
            job.lacking.append(f"{name[:100]!a} is not kept: {error}")
        else:
            job.files[kept] = ResultFile(kept, intake.size, intake.sha256)
        return True

    # -- running jobs --------------------------------------------------------------------------------------------

    def _look(self, lane: Lane) -> None:
        """Bring what people look at; forget what they looked at."""
        if tuple(lane) not in self.db.read("looking", lambda c: results.watching_lanes(c, self.flavour)):
            return
        due = self.db.run("looks", lambda c: results.take_due(c, *lane, limit=_LOOKS, for_s=_LOOKING_S * 3))
        end = time.monotonic() + _LOOKING_S
        for one in due:
            if time.monotonic() < end:
                self._look_at(self.context.ce(lane), one)
        for cejob_id, name in self.db.run("looked", lambda c: results.forget_over(c, *lane)):
            self.context.store.remove(live_name(cejob_id, name))

    def _look_at(self, ce: ComputeElement, one: Watch) -> None:
        """Copy as much of the file as comes in a moment. A copy that says less than the last one is dropped."""
        begun = time.monotonic()
        size: int | None = None
        try:
            with self.context.store.write(live_name(one.cejob_id, one.name)) as out:
                intake = Intake(out, self.context.config.polling.fetch_max_mb * MB, "", begun + _GLANCE_S)
                try:
                    ce.fetch(one.ce_job_id, one.name, cast(BinaryIO, intake))
                    is_new = intake.size != one.size
                except TooMuch:
                    is_new = one.size is None or intake.size > one.size
                if not is_new:
                    raise OutputMissing("nothing new")
                size = intake.size
        except (OutputMissing, JobGone, BadJobSpec):
            size = None
        again_s = max(_AGAIN_S, _REST * (time.monotonic() - begun))
        self.db.run("seen", lambda c: results.seen(c, one, size, again_s))
