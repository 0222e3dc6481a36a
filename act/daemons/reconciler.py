"""Reconciler: settles what crashes, stalls and lost answers left open, and keeps every row moving.

Per lane: rows whose submission is in doubt, orphans at the CE, delegations. Over all: deadlines.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from act.daemons.base import Daemon, Key, Lane
from act.daemons.context import Context
from act.daemons.lease import Lease
from act.daemons.submitter import arm_all, bulk_size
from act.db import cejobs, claims, credentials, lanes, meta, specs
from act.db.engine import AnyRow, chunks
from act.db.moves import Move
from act.errors import CERefused, JobError, JobGone
from act.interfaces import ComputeElement
from act.model import CEStatus
from act.states import DEADLINES, IN_DOUBT, MAX_SUBMISSIONS, PLACELESS, STAND_STILL_AT_MOST_S, Event

log = logging.getLogger(__name__)

OVER = (*PLACELESS, "donefailed", "cancelled", "lost", "archived")  # states in which a CE should hold nothing


class Reconciler(Daemon):
    """Keeps the promises of the submit protocol; see `act.daemons.submitter`."""

    kind = "reconciler"

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        super().__init__(context, name, flavour)
        self._names: dict[Lane, dict[str, str]] = {}  # CE id -> token, for jobs that stand in no row
        self._deadlines = {d.state: d.seconds for d in DEADLINES.values()}
        self._deadlines |= {d.state: d.seconds for d in context.config.deadlines.deadline}
        self._look_s = min(60.0, *(s / 4 for s in self._deadlines.values()))
        self._looked = -self._look_s

    def lanes(self) -> Sequence[Key]:
        polling = self.context.config.polling

        def read(connection: Connection) -> set[tuple[int, int]]:
            found = set(cejobs.lanes(connection, self.flavour, IN_DOUBT, expired=True))
            found |= set(lanes.due(connection, self.flavour, "swept", polling.sweep_s))
            return found | set(credentials.restless(connection, self.flavour, polling.delegation_idle_s))

        return [None, *(Lane(*pair) for pair in sorted(self.db.read("lanes", read)))]

    def work(self, lane: Key) -> int:
        if not isinstance(lane, Lane):
            return self._enforce_deadlines()
        return self._settle(lane) + self._sweep(lane) + self._tend_delegation(lane)

    # -- rows in doubt -------------------------------------------------------------------------------------------

    def _settle(self, lane: Lane) -> int:
        lease = self.claim()
        limit = self.context.config.polling.submit_batch * 5

        def take(connection: Connection) -> Sequence[AnyRow]:
            ids = cejobs.in_doubt(connection, *lane, limit=limit)
            return cejobs.hold(connection, ids, holder=lease.holder, lease_s=lease.lease_s)

        rows = self.db.run("claim", take)
        if not rows:
            return 0
        settle_s = self.context.config.leases.settle_s
        try:
            return self._settle_rows(lane, rows, lease)
        finally:
            ids = [r.id for r in rows]
            self.db.run("release", lambda c: cejobs.release(c, ids, holder=lease.holder, after_s=settle_s))

    def _settle_rows(self, lane: Lane, rows: Sequence[AnyRow], lease: Lease) -> int:
        ce = self.context.ce(lane)
        begun = self.db.read("now", meta.clock)
        tokens, complete = self._list(lane, ce)
        moves = []
        absent = []
        for row in (r for r in rows if r.state == "submitting"):
            ce_job_id = tokens.get(row.token)
            if ce_job_id is not None:
                why = f"found at the CE as {ce_job_id}"
                values = {"ce_job_id": ce_job_id, "missing_at": None}
                moves.append(Move(row.id, "submitting", Event.ACCEPTED, why, values))
            elif complete:
                absent.append(row)
        lease.check()
        self.db.run(
            "found",
            lambda c: cejobs.move(c, moves, who=self.name, holder=lease.holder, keep_claim=True),
        )
        ids = [m.id for m in moves] + [r.id for r in rows if r.state == "created"]
        moved = self._settle_created(ce, ids, begun, lease) if ids else 0
        return moved + self._settle_absent(ce, absent, begun, lease)

    def _list(self, lane: Lane, ce: ComputeElement) -> tuple[dict[str, str], bool]:
        """(token -> id of the CE's jobs that stand in no row, whether each of them told its name)."""
        listed = ce.list_ids()
        # read after the list: an id that is in a row now was written by its submitter meanwhile
        known = self.db.read("known", lambda c: cejobs.known_ids(c, lane.ce_id, list(listed)))
        names = {i: n for i, n in self._names.get(lane, {}).items() if i in listed}
        complete = True
        for part in chunks([i for i in listed - known if i not in names]):
            for i, status in ce.inspect(part).items():
                if isinstance(status, CEStatus) and status.name:
                    names[i] = cejobs.token_in(status.name)
                elif not isinstance(status, JobGone):
                    complete = False
        self._names[lane] = names
        return {token: i for i, token in names.items() if token and i not in known}, complete

    def _settle_created(self, ce: ComputeElement, ids: Sequence[int], begun: float, lease: Lease) -> int:
        """Rows whose id at the CE is known: arm those that wait, take note of the others."""
        now_there = self.db.read("created", lambda c: cejobs.get(c, ids))
        rows = [r for r in now_there.values() if r.state == "created" and r.claimed_by == lease.holder]
        answers = ce.inspect([r.ce_job_id for r in rows]) if rows else {}
        moves, to_arm, gone = [], [], []
        for row in rows:
            answer = answers.get(row.ce_job_id)
            if isinstance(answer, JobGone):
                gone.append(row)
            elif not isinstance(answer, CEStatus):
                continue
            elif answer.armed is None:
                to_arm.append(row)
            elif answer.armed:
                moves.append(Move(row.id, "created", Event.ARMED, f"it was armed: the CE says {answer.ce_state}"))
            else:
                event = Event.UNARMED if row.submission < MAX_SUBMISSIONS else Event.REFUSED
                moves.append(Move(row.id, "created", event, "it ended without having been armed"))
        jobs = self.db.read("specs", lambda c: specs.get(c, [r.jobspec_id for r in to_arm]))
        moves += arm_all(ce, to_arm, jobs, lease, self.context.config.timeouts.transfer_s)
        twice = self._twice(gone, begun)
        moves += [Move(r.id, "created", Event.GONE, "twice unknown to the CE; it may have run") for r in twice]
        return len(self.db.run("settled", lambda c: cejobs.move(c, moves, who=self.name, holder=lease.holder)))

    def _settle_absent(self, ce: ComputeElement, rows: Sequence[AnyRow], begun: float, lease: Lease) -> int:
        """Rows whose token is not at the CE: after two complete lists they were never created."""
        twice = self._twice(rows, begun)
        size = bulk_size(ce, self.context.config)
        alone = {r.id for r in twice if r.doubts and size >> (r.doubts - 1) <= 1}
        moves = [
            Move(r.id, "submitting", Event.PUTBACK, "not at the CE", {"missing_at": None})
            for r in twice
            if r.id not in alone
        ]
        refused: dict[int, JobError] = {i: CERefused("the CE fails on this job each time") for i in alone}

        def write(connection: Connection) -> dict[int, str]:
            done = cejobs.move(connection, moves, who=self.name, holder=lease.holder)
            return done | claims.refuse(connection, refused, who=self.name, holder=lease.holder)

        return len(self.db.run("absent", write)) if twice else 0

    def _twice(self, rows: Sequence[AnyRow], begun: float) -> list[AnyRow]:
        """Those missing for the second time, in an answer asked for well after the first; the others are marked."""
        settle_s = self.context.config.leases.settle_s
        twice = [r for r in rows if r.missing_at is not None and r.missing_at + settle_s <= begun]
        first = [r.id for r in rows if r.missing_at is None]
        if first:
            self.db.run("missing", lambda c: cejobs.mark_missing(c, first))
        return twice

    # -- orphans -------------------------------------------------------------------------------------------------

    def _sweep(self, lane: Lane) -> int:
        """Cancel and clean jobs with our token that no row stands for. Returns how many were found."""
        every = self.context.config.polling.sweep_s
        if lane not in self.db.read("due", lambda c: lanes.due(c, self.flavour, "swept", every)):
            return 0
        ce = self.context.ce(lane)
        tokens, _ = self._list(lane, ce)
        orphans = self.db.run("orphans", lambda c: self._orphans(c, tokens))
        if orphans:
            log.warning("%s: %d orphans at CE %d: %s", self.name, len(orphans), lane.ce_id, ", ".join(orphans[:5]))
            ce.kill(orphans)
            answers = ce.clean(orphans)
            if not all(a is None or isinstance(a, JobGone) for a in answers.values()):
                return 0  # still ending: look again soon
        self.db.run("swept", lambda c: lanes.swept(c, *lane))
        return len(orphans)

    def _orphans(self, connection: Connection, tokens: dict[str, str]) -> list[str]:
        ours = meta.identity(connection)
        parsed = {t: p for t in tokens if (p := cejobs.parse_token(t)) and p[0] == ours}
        highest = meta.highest_cejob(connection)
        rows = cejobs.get(connection, {p[1] for p in parsed.values()})
        suspects = [t for t, p in parsed.items() if p[1] > highest or _never_given(rows.get(p[1]), t, p[2])]
        anew = cejobs.with_event(connection, {parsed[t][1] for t in suspects}, Event.RELEASE)
        if alien := [t for t in suspects if parsed[t][1] not in anew]:
            why = (
                f"a CE has the job {alien[0]}, which this database never submitted: it was restored from a backup or "
                "copied. Nothing is submitted. See 'actctl db clone-identity'."
            )
            log.error("%s", why)
            meta.stop(connection, why)
            return []
        return [tokens[t] for t, p in parsed.items() if _is_orphan(rows.get(p[1]), t)]

    # -- delegations ---------------------------------------------------------------------------------------------

    def _tend_delegation(self, lane: Lane) -> int:
        """Give the CE a renewed proxy; remove a delegation that nobody needs."""
        idle_s = self.context.config.polling.delegation_idle_s
        outdated = self.db.read("outdated", lambda c: credentials.outdated(c, *lane))
        if outdated is not None:
            try:
                self.context.ce(lane).renew(outdated.remote_id)
            except JobGone:
                self.db.run("forget", lambda c: credentials.forget(c, outdated.id))
            else:
                self.db.run("renewed", lambda c: credentials.renewed(c, outdated.id, outdated.generation))
        unused = self.db.run("unused", lambda c: credentials.start_removal(c, *lane, idle_s))
        if unused is None:
            return 0
        try:
            self.context.ce(lane).undelegate(unused.remote_id)
        except CERefused as error:
            log.info("the delegation at CE %d stays for now: %s", lane.ce_id, error)
            return 0  # jobs that are being cleaned still hold it
        self.db.run("forget", lambda c: credentials.forget(c, unused.id))
        return 1

    # -- deadlines -----------------------------------------------------------------------------------------------

    def _enforce_deadlines(self) -> int:
        if time.monotonic() < self._looked + self._look_s:
            return 0
        self._looked = time.monotonic()
        silent_s = self.context.config.polling.silent_s

        def enforce(connection: Connection) -> int:
            moves: list[Move] = []
            for state, seconds in self._deadlines.items():
                rows = cejobs.overdue(
                    connection,
                    self.flavour,
                    state,
                    seconds,
                    silent_s=silent_s,
                    at_most_s=STAND_STILL_AT_MOST_S,
                    limit=500,
                )
                moves += _expired(rows, state)
            return len(cejobs.move(connection, moves, who=self.name))

        return self.db.run("deadlines", enforce)


def _expired(rows: Iterable[AnyRow], state: str) -> list[Move]:
    deadline = DEADLINES[state]
    return [Move(r.id, state, deadline.event, deadline.why, version=r.version) for r in rows]


def _never_given(row: AnyRow | None, token: str, submission: int) -> bool:
    """Another database gave this token: a row's submissions are counted, and each has one token. Those of an attempt
    that was released from quarantine are counted anew."""
    if row is None:
        return False
    return bool(submission > row.submission or (submission == row.submission and token != row.token))


def _is_orphan(row: AnyRow | None, token: str) -> bool:
    """No row stands for the job with this token."""
    if row is None:
        return True
    return row.state not in IN_DOUBT and (row.token != token or row.state in OVER)
