"""Runs a daemon: schedules lanes on a bounded number of threads, and never joins one.

A lane past its deadline is abandoned and its CE's breaker opened, the others go on, and a process with too many
abandoned lanes ends to be started again. What a pass raises that is no trouble of one lane ends the process.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from act import metrics
from act.daemons.base import Daemon, Key, Lane
from act.daemons.lease import holders_of, is_dead
from act.db import cecalls, ces, lanes, leases, meta, orders
from act.db.engine import NOW
from act.errors import (
    CEFull,
    CEUnreachable,
    CredentialError,
    DatabaseBusy,
    JobError,
    StaleClaim,
    TemporaryError,
)

log = logging.getLogger(__name__)

MAX_BACKOFF_S = 60.0
REPORT_S = 10.0
RESTART_EXIT = 75  # EX_TEMPFAIL: start me again


@dataclass
class _Track:
    """What the runner knows of one lane."""

    due: float = 0.0
    backoff_s: float = 0.0
    started: float | None = None
    abandoned: bool = False


@dataclass
class _Count:
    passes: int = 0
    moved: int = 0
    error: str | None = None
    abandoned: int = 0


class Runner:
    """Runs one daemon: `once` for a single pass over all lanes, `run` until told to stop."""

    def __init__(self, daemon: Daemon, *, threads: int, lane_deadline_s: float, max_abandoned: int = 4) -> None:
        self.daemon = daemon
        self.context = daemon.context
        self._slots = threading.BoundedSemaphore(threads)
        self._deadline_s = lane_deadline_s
        self._max_abandoned = max_abandoned
        self._tracks: dict[Key, _Track] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._count = _Count()
        self._crash: BaseException | None = None
        self._listing = _Track()
        self._lanes: Sequence[Key] = ()
        self._reporting = _Track()
        self._to_probe: set[Lane] = set()
        self._inherited = False

    def once(self) -> int:
        """One pass over all lanes, one after the other; returns how many jobs moved. Trouble with one CE is noted as
        `run` would; what else a lane raises is raised when all others have had their turn."""
        moved = 0
        raised: TemporaryError | JobError | None = None
        for lane in self._allowed(self.daemon.lanes()):
            try:
                moved += self._work(lane)
            except (CEUnreachable, CEFull, CredentialError, StaleClaim) as error:
                self._trouble(lane, error)
            except (TemporaryError, JobError) as error:
                self._note(lane, error)
                raised = raised or error
            else:
                self._good(lane)
        if raised is not None:
            raise raised
        return moved

    def run(self, beat: Callable[[], None], stopping: Callable[[], bool]) -> int:
        """Work until ``stopping``; returns the exit code. Raises what a pass raised that is no temporary trouble."""
        while not stopping():
            beat()
            if self._crash is not None:
                raise self._crash
            if self._count.abandoned >= self._max_abandoned:
                log.error("%s: %d lanes hang, starting again", self.daemon.name, self._count.abandoned)
                return RESTART_EXIT
            self._start_due()
            self._abandon_late()
            self._wake.wait(0.2)
            self._wake.clear()
        self._drain(beat)
        return 0

    def _drain(self, beat: Callable[[], None]) -> None:
        """Let passes under way end, within reason: the master kills us if it takes too long."""
        end = time.monotonic() + 15
        while time.monotonic() < end and any(t.started and not t.abandoned for t in self._all_tracks()):
            beat()
            time.sleep(0.05)

    def _all_tracks(self) -> list[_Track]:
        with self._lock:
            return [*self._tracks.values(), self._listing]

    def _start_due(self) -> None:
        now = time.monotonic()
        self._start(self._listing, now, self._list_lanes)
        self._start(self._reporting, now, self._report)
        with self._lock:
            lanes_now = list(self._lanes)
            for gone in set(self._tracks) - set(lanes_now):
                if self._tracks[gone].started is None and self._tracks[gone].due <= now:
                    del self._tracks[gone]
            tracks = [(lane, self._tracks.setdefault(lane, _Track())) for lane in lanes_now]
        for lane, track in tracks:
            self._start(track, now, partial(self._pass, lane, track))

    def _start(self, track: _Track, now: float, target: Callable[[], None]) -> None:
        if track.started is not None or track.due > now or not self._slots.acquire(blocking=False):
            return
        track.started = now
        threading.Thread(target=self._guarded, args=(track, target), name=self.daemon.name, daemon=True).start()

    def _guarded(self, track: _Track, target: Callable[[], None]) -> None:
        """A pass that ends in an unexpected way ends the process: silence would be worse."""
        try:
            target()
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
            self._crash = error
        finally:
            if not track.abandoned:
                self._slots.release()
            track.started = None
            track.abandoned = False
            self._wake.set()

    def _list_lanes(self) -> None:
        try:
            if not self._inherited:
                self._end_claims_of_the_dead()
            self._lanes = self._allowed(self.daemon.lanes())
            delay = self.daemon.idle_s
        except (TemporaryError, CredentialError) as error:
            self._note(None, error)
            delay = max(1.0, self.daemon.idle_s)
        self._listing.due = time.monotonic() + delay * random.uniform(0.9, 1.1)

    def _end_claims_of_the_dead(self) -> None:
        """What our predecessors held when they died is free at once, not only when their leases end."""
        prefix = holders_of(self.daemon.name)
        n = self.daemon.db.run("inherit", lambda c: leases.end_of_dead(c, prefix, is_dead))
        self._inherited = True
        if n:
            log.info("%s: %d claims of dead predecessors have ended", self.daemon.name, n)

    def _allowed(self, found: Sequence[Key]) -> list[Key]:
        """Without lanes whose CE's breaker is open or whose credential rests, or that operators want left alone; one
        lane may probe when it is time. Lanes behind submit points of other hosts are for those hosts."""
        ce_ids = {lane.ce_id for lane in found if isinstance(lane, Lane)}
        if not ce_ids:
            return list(found)
        reached = self.context.reached(ce_ids)
        config = self.context.config.breaker
        host = self.context.host
        shut, paused, ordered = self.daemon.db.read(
            "allowed", lambda c: (ces.shut(c, host), lanes.paused(c), orders.standing(c))
        )
        reached -= self.context.ces_at(ce_ids, ordered.paused_ces())
        allowed: list[Key] = []
        for lane in found:
            if not isinstance(lane, Lane):
                allowed.append(lane)
            elif lane.ce_id not in reached:
                continue
            elif lane.ce_id not in shut and tuple(lane) not in paused:
                allowed.append(lane)
            elif shut.get(lane.ce_id) and tuple(lane) not in paused and self._may_probe(lane, config.open_s):
                shut[lane.ce_id] = False
                self._to_probe.add(lane)
                allowed.append(lane)
        return allowed

    def _may_probe(self, lane: Lane, for_s: float) -> bool:
        db = self.daemon.db
        return db.run("half-open", lambda c: ces.try_half_open(c, lane.ce_id, self.context.host, for_s))

    def _pass(self, lane: Key, track: _Track) -> None:
        try:
            moved = self._work(lane)
            self._good(lane)
        except (TemporaryError, CredentialError, JobError, StaleClaim) as error:
            self._trouble(lane, error)
            track.backoff_s = min(MAX_BACKOFF_S, max(self.daemon.idle_s, track.backoff_s * 2))
            track.due = time.monotonic() + track.backoff_s * random.uniform(0.7, 1.3)
            return
        with self._lock:
            self._count.passes += 1
            self._count.moved += moved
        track.backoff_s = 0.0
        track.due = time.monotonic() + (0.0 if moved else self.daemon.idle_s * random.uniform(0.8, 1.2))

    def _work(self, lane: Key) -> int:
        """One pass; after a half-open breaker the CE must first show that it answers."""
        if isinstance(lane, Lane) and lane in self._to_probe:
            self._to_probe.discard(lane)
            self.context.note_trouble(lane.ce_id)
            self.context.ce(lane).probe()
        with metrics.timed(metrics.passed):
            return self.daemon.work(lane)

    def _good(self, lane: Key) -> None:
        """A pass that really spoke with the CE closes its breaker."""
        if isinstance(lane, Lane) and self.context.was_used(lane) and self.context.must_tell_well(lane.ce_id):
            self.daemon.db.run("ce-good", lambda c: ces.good(c, lane.ce_id, self.context.host))

    def _trouble(self, lane: Key, error: Exception) -> None:
        """Write down what is wrong with a CE or a credential; a database in trouble is only logged."""
        self._note(lane, error)
        if not isinstance(lane, Lane) or isinstance(error, DatabaseBusy):
            return
        self.context.forget_ce(lane)
        try:
            self.daemon.db.run("trouble", lambda c: self._write_trouble(c, lane, error))
        except DatabaseBusy as busy:
            self._note(lane, busy)

    def _write_trouble(self, connection: Any, lane: Lane, error: Exception) -> None:
        b = self.context.config.breaker
        if isinstance(error, CEUnreachable):
            self.context.note_trouble(lane.ce_id)
            ces.failed(
                connection,
                lane.ce_id,
                self.context.host,
                str(error),
                threshold=b.failures,
                open_s=b.open_s,
                max_open_s=b.max_open_s,
            )
        elif isinstance(error, CredentialError):
            lanes.pause(connection, *lane, b.open_s, str(error))
        elif isinstance(error, CEFull):
            ces.set_full(connection, lane.ce_id, b.open_s)

    def _note(self, lane: Key, error: Exception) -> None:
        where = f"CE {lane.ce_id}, credential {lane.proxy_id}:" if isinstance(lane, Lane) else lane or ""
        text = " ".join(filter(None, (f"{self.daemon.name}:", where, f"{type(error).__name__}: {error}")))
        log.warning("%s", text)
        metrics.trouble(error)
        with self._lock:
            self._count.error = text

    def _abandon_late(self) -> None:
        """Give the slot of a hanging lane to others; the lane itself stays out until its thread ends."""
        late = time.monotonic() - self._deadline_s
        with self._lock:
            found = [(lane, t) for lane, t in self._tracks.items() if t.started and not t.abandoned]
        for lane, track in found:
            if track.started is not None and track.started < late:
                track.abandoned = True
                self._count.abandoned += 1
                self._slots.release()
                self._trouble(lane, CEUnreachable(f"a pass took longer than {self._deadline_s:.0f} s and was given up"))

    def _report(self) -> None:
        """A line for people, in which the last error stays until the next; and what was counted."""
        metrics.save()
        with self._lock:
            numbers: dict[str, Any] = {"passes": self._count.passes, "moved": self._count.moved}
            if self._count.error is not None:
                numbers |= {"error": self._count.error, "error_at": NOW}
                self._count.error = None
        numbers["statements"] = self.daemon.db.statements
        host, name, calls = self.context.host, self.daemon.name, self.context.calls.take()

        def write(connection: Any) -> None:
            meta.report(connection, host, name, os.getpid(), **numbers)
            cecalls.add(connection, host, name, calls)

        try:
            self.daemon.db.run("report", write)
        except TemporaryError as busy:
            log.warning("%s: %s", name, busy)
            self.context.calls.give_back(calls)
        self._reporting.due = time.monotonic() + REPORT_S
