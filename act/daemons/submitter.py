"""Submitter: claim, create inert, write down, arm. A crash at any point leaves rows for the reconciler, no job twice.

``tosubmit -> submitting`` (token written) -> create at the CE -> ``created`` (id written) -> arm -> ``submitted``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from act.config import CoreConfig
from act.daemons.base import Daemon, Key, Lane
from act.daemons.lease import Lease
from act.db import cejobs, ces, claims, credentials, lanes, meta, specs
from act.db.claims import Limits
from act.db.engine import AnyRow, chunks
from act.db.moves import Move
from act.errors import (
    BadJobSpec,
    CEBroken,
    CEFull,
    CERefused,
    CEUnreachable,
    CredentialError,
    JobError,
    JobGone,
    OutcomeUnknown,
    OutputMissing,
    StorageUnavailable,
)
from act.interfaces import ComputeElement
from act.log import about
from act.model import Created, JobSpec, Submission
from act.states import Event

log = logging.getLogger(__name__)

# What ends a pass over a lane. StorageUnavailable: inputs that the tower brings cannot be read.
Trouble = CEUnreachable | CEFull | CredentialError | StorageUnavailable
TROUBLE = (CEUnreachable, CEFull, CredentialError, StorageUnavailable)
_GROUP_BYTES = 100_000_000  # of inputs that the tower brings: those of one group are brought under one deadline


class Submitter(Daemon):
    """Submits the attempts that wait for the CEs of its flavour."""

    kind = "submitter"

    def lanes(self) -> Sequence[Key]:
        def read(connection: Connection) -> list[tuple[int, int]]:
            return [] if meta.stopped(connection) else claims.lanes(connection, self.flavour)

        return [Lane(*pair) for pair in self.db.read("lanes", read)]

    def work(self, lane: Key) -> int:
        assert isinstance(lane, Lane)
        if self.context.settings(lane.ce_id).status == "offline":
            return 0
        ce = self.context.ce(lane)
        lease = self.claim()
        rows = self._claim(lane, ce, lease)
        if not rows:
            return 0
        jobs = self.db.read("specs", lambda c: specs.get(c, [r.jobspec_id for r in rows]))
        trouble: Trouble | None = None
        for group in _groups(rows, jobs, bulk_size(ce, self.context.config)):
            if trouble is not None or not lease.has_time_for(self.context.config.timeouts.transfer_s):
                why = "the CE had trouble with others" if trouble is not None else "others took long"
                self._put_back([r.id for r in group], f"not sent: {why}", lease)
                continue
            try:
                created = self._create(ce, group, jobs, lease)
            except TROUBLE as error:
                trouble = error
            else:
                self._arm(ce, created, jobs, lease)
        if trouble is not None:
            raise trouble
        return len(rows)

    def _claim(self, lane: Lane, ce: ComputeElement, lease: Lease) -> Sequence[AnyRow]:
        self._ensure_delegation(lane, ce)
        config = self.context.config
        own = config.limits_of(self.context.settings(lane.ce_id))
        limits = Limits(own.max_waiting, own.max_jobs)

        def take(connection: Connection) -> Sequence[AnyRow]:
            delegation = credentials.live_delegation(connection, *lane)
            if delegation is None or meta.stopped(connection):
                return []
            rows = claims.take(
                connection,
                *lane,
                limit=config.polling.submit_batch,
                holder=lease.holder,
                lease_s=lease.lease_s,
                who=self.name,
                db_id=meta.identity(connection),
                delegation_id=delegation.id,
                default=limits,
            )
            if rows:
                credentials.touch(connection, delegation.id)
            return rows

        return self.db.run("claim", take)

    def _ensure_delegation(self, lane: Lane, ce: ComputeElement) -> None:
        """A live delegation is there before anything is claimed; one that a crash leaves unwritten just runs out."""
        if self.db.run("delegation", lambda c: credentials.live_delegation(c, *lane)) is not None:
            return
        generation = self.db.read("delegation", lambda c: credentials.get(c, lane.proxy_id).generation)
        remote = ce.delegate()

        def write(connection: Connection) -> bool:
            lanes.ensure(connection, *lane)
            return credentials.add_delegation(connection, *lane, remote, generation)

        if not self.db.run("delegated", write):
            ce.undelegate(remote)

    def _create(
        self, ce: ComputeElement, rows: Sequence[AnyRow], jobs: dict[int, JobSpec], lease: Lease
    ) -> list[AnyRow]:
        """Create one group inert and write down the ids; returns the rows that may be armed."""
        ids = [r.id for r in rows]
        names = self.db.read("names", lambda c: ces.queue_names(c, list({r.cequeue_id for r in rows})))
        remote = self.db.read("remote", lambda c: credentials.remote_ids(c, {r.delegation_id for r in rows}))
        wanted = [Submission(r.id, r.token, jobs[r.jobspec_id], names[r.cequeue_id]) for r in rows]
        lease.check()
        try:
            answers = ce.create(wanted, remote[rows[0].delegation_id])
        except TROUBLE as error:
            self._not_created(error, ids, lease)
            raise
        try:
            answers = _checked(ce, wanted, answers)
        except CEUnreachable:
            self.db.run("unchecked", lambda c: cejobs.release(c, ids, holder=lease.holder))
            raise
        return self._write_created(rows, answers, lease)

    def _not_created(self, error: Trouble, ids: list[int], lease: Lease) -> None:
        """Nothing can have happened: put back. Otherwise leave it to the reconciler, at once after a full answer."""
        if not isinstance(error, CEUnreachable) or not error.sent:
            self._put_back(ids, str(error), lease)
        elif isinstance(error, CEBroken):
            self.db.run("doubt", lambda c: cejobs.release(c, ids, holder=lease.holder, doubt=True))

    def _put_back(self, ids: list[int], why: str, lease: Lease) -> None:
        moves = [Move(i, "submitting", Event.PUTBACK, why) for i in ids]
        self.db.run("putback", lambda c: cejobs.move(c, moves, who=self.name, holder=lease.holder))

    def _write_created(self, rows: Sequence[AnyRow], answers: list[Created | JobError], lease: Lease) -> list[AnyRow]:
        by_id = {r.id: a for r, a in zip(rows, answers, strict=True)}
        accepted = [
            Move(i, "submitting", Event.ACCEPTED, f"the CE calls it {a.ce_job_id}", {"ce_job_id": a.ce_job_id})
            for i, a in by_id.items()
            if isinstance(a, Created)
        ]

        def write(connection: Connection) -> dict[int, str]:
            done = cejobs.move(connection, accepted, who=self.name, holder=lease.holder, keep_claim=True)
            refused = {i: a for i, a in by_id.items() if isinstance(a, JobError)}
            if refused:
                claims.refuse(connection, refused, who=self.name, holder=lease.holder)
            return done

        try:
            self.db.run("created", write)
        except OutcomeUnknown as error:
            log.warning("%s: %s; reading back", self.name, error)
        now_there = self.db.read("created?", lambda c: cejobs.get(c, list(by_id)))
        return [
            r
            for i, r in now_there.items()
            if r.state == "created" and r.claimed_by == lease.holder and _same(r, by_id[i])
        ]

    def _arm(self, ce: ComputeElement, rows: Sequence[AnyRow], jobs: dict[int, JobSpec], lease: Lease) -> None:
        """Let the created jobs run; what could not be armed is the reconciler's, at once."""
        moves = arm_all(ce, rows, jobs, lease, self.context.config.timeouts.transfer_s)
        left = {r.id for r in rows} - {m.id for m in moves}

        def write(connection: Connection) -> None:
            cejobs.move(connection, moves, who=self.name, holder=lease.holder)
            cejobs.release(connection, list(left), holder=lease.holder)

        if rows:
            self.db.run("armed", write)


def arm_all(
    ce: ComputeElement, rows: Sequence[AnyRow], jobs: dict[int, JobSpec], lease: Lease, transfer_s: float
) -> list[Move]:
    """Arm created rows; returns the moves to write down. Rows that could not be armed stay for the reconciler, but for
    those whose own files make that impossible. transfer_s: what one call may take.
    """
    moves = []
    for part in chunks(rows, ce.arm_batch):
        lease.check()
        if not lease.has_time_for(transfer_s):
            log.warning(
                "attempts %s and those after them are not armed yet: others took long", _ids(part), extra=_about(part)
            )
            break
        try:
            answers = ce.arm({row.ce_job_id: jobs[row.jobspec_id] for row in part})
        except (CEBroken, StorageUnavailable) as error:
            log.warning("attempts %s are not armed yet: %s", _ids(part), error, extra=_about(part))
            continue
        except CEUnreachable as error:
            log.warning("attempts %s and those after them are not armed yet: %s", _ids(part), error, extra=_about(part))
            break
        for row in part:
            answer = answers.get(row.ce_job_id, _UNANSWERED)
            if answer is None:
                moves.append(Move(row.id, "created", Event.ARMED))
            elif isinstance(answer, (BadJobSpec, OutputMissing)):
                why = f"its inputs cannot be brought: {answer}"
                moves.append(Move(row.id, "created", Event.REFUSED, why, {"error": why[:2000]}))
            elif not isinstance(answer, JobGone):  # of one that is gone the reconciler finds out what became of it
                log.warning(
                    "attempt %d: the CE does not let it run: %s",
                    row.id,
                    answer,
                    extra=about(row.id, cejobs.LEDGER.kind),
                )
    return moves


_UNANSWERED = CERefused("no answer for this job")


def _about(rows: Sequence[AnyRow]) -> dict[str, Any]:
    return about([row.id for row in rows], cejobs.LEDGER.kind)


def _ids(rows: Sequence[AnyRow]) -> str:
    return ", ".join(str(r.id) for r in rows[:5]) + (" ..." if len(rows) > 5 else "")


def bulk_size(ce: ComputeElement, config: CoreConfig) -> int:
    """How many jobs go out in one call while none of them is in doubt."""
    return min(ce.batch, config.polling.submit_batch)


def _groups(rows: Sequence[AnyRow], jobs: Mapping[int, JobSpec], batch: int) -> list[list[AnyRow]]:
    """Groups of at most ``batch``, and of not too many bytes to bring; a row that was in n failed bulks goes out in a
    group of batch / 2^n."""
    groups: list[list[AnyRow]] = []
    group_bytes = 0
    for row in sorted(rows, key=lambda r: (r.doubts, r.id)):
        size = max(1, batch >> row.doubts)
        own_bytes = sum(f.size for f in jobs[row.jobspec_id].inputs if f.stored)
        group_bytes += own_bytes
        has_room = groups and len(groups[-1]) < size and group_bytes <= _GROUP_BYTES
        if has_room and groups[-1][0].doubts == row.doubts:
            groups[-1].append(row)
        else:
            groups.append([row])
            group_bytes = own_bytes
    return groups


def _checked(
    ce: ComputeElement, wanted: Sequence[Submission], answers: list[Created | JobError]
) -> list[Created | JobError]:
    """Answers of a bulk call come by position: make sure by the jobs' names that each id is the job we mean."""
    ids = [a.ce_job_id for a in answers if isinstance(a, Created)]
    if len(answers) != len(wanted) or len(set(ids)) != len(ids):
        raise CEBroken(f"the CE answered {len(answers)} things for {len(wanted)} jobs")
    seen = ce.inspect(ids) if ids else {}
    by_token = {cejobs.token_in(s.name): i for i, s in seen.items() if not isinstance(s, JobError)}
    checked = []
    for job, answer in zip(wanted, answers, strict=True):
        real = by_token.get(job.token)
        if isinstance(answer, Created) and real is not None and real != answer.ce_job_id:
            log.error("the CE mixed up the answers of a bulk: %s is %s", job.token, real)
            answer = Created(real)
        checked.append(answer)
    return checked


def _same(row: AnyRow, answer: Created | JobError) -> bool:
    return isinstance(answer, Created) and row.ce_job_id == answer.ce_job_id
