"""The place of one daemon process: its lives, one after the other, and what is known of the present one."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from act.master.child import BEAT, EXIT_CONFIG, Target, spawn

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Times:
    """The master's times in seconds.

    beat_s: how often a child beats. stale_s: one silent for so long is killed. stop_s: how long it may take to stop.
    A restart waits restart_min_s, doubling up to restart_max_s, and from restart_min_s again after a life of settled_s.
    status_s: how often the status is written.
    """

    beat_s: float = 1.0
    stale_s: float = 60.0
    stop_s: float = 20.0
    restart_min_s: float = 1.0
    restart_max_s: float = 60.0
    settled_s: float = 300.0
    status_s: float = 3.0


class State(StrEnum):
    """Where the present life of a daemon stands."""

    WAITING = "waiting"  # to be started when it is due
    STARTING = "starting"  # forked, no beat yet
    RUNNING = "running"
    STOPPING = "stopping"  # told to
    REFUSED = "refused"  # ended with 78, not started again


class Slot:
    """One daemon process as the master sees it. All ``now`` are of the monotonic clock."""

    def __init__(self, name: str, target: Target, times: Times) -> None:
        self.name = name
        self.target = target
        self.state = State.WAITING
        self.generation = 0  # of the configuration it was started with; 0: never
        self.leaving = False  # not wanted any more
        self.due = 0.0  # when to start it
        self.pid = 0  # 0: there is no process
        self.pipe = -1
        self.beaten = 0.0  # last beat, or start
        self.tried = False  # has beaten or ended once
        self._times = times
        self._delay = times.restart_min_s
        self._started = 0.0
        self._kill_at = float("inf")
        self._lives = 0
        self._words = bytearray()  # what the present life told besides beats
        self._killed_for = ""
        self._reason = ""  # why the last life ended

    def start(self, generation: int, now: float, close: Iterable[int]) -> bool:
        """Fork. False if the host has no room for it: due again later."""
        try:
            self.pid, self.pipe = spawn(self.name, self.target, self._times.beat_s, close)
        except OSError as error:
            log.error("%s cannot be started: %s", self.name, error)
            self._wait(now)
            return False
        self.state, self.generation = State.STARTING, generation
        self.beaten = self._started = now
        self._kill_at, self._killed_for = float("inf"), ""
        self._lives += 1
        self._words.clear()
        return True

    def hear(self, now: float) -> bool:
        """Read what the child tells. False at the end: it has closed the pipe."""
        try:
            data = os.read(self.pipe, 65536)
        except BlockingIOError:
            return True
        if BEAT in data:
            self.beaten, self.tried = now, True
            if self.state is State.STARTING:
                self.state = State.RUNNING
        self._words += data.replace(BEAT, b"")
        return bool(data)

    def check(self, now: float) -> None:
        """Kill it if it is silent, or slow to stop."""
        if not self.pid or self._killed_for:
            return
        if now >= self._kill_at:
            self.kill(f"did not stop within {self._times.stop_s:g} s")
        elif now - self.beaten > self._times.stale_s:
            self.kill(f"silent for {now - self.beaten:.1f} s")

    def stop(self, now: float) -> None:
        """Ask it to end."""
        if self.pid and self.state is not State.STOPPING:
            os.kill(self.pid, signal.SIGTERM)
            self.state, self._kill_at = State.STOPPING, now + self._times.stop_s

    def kill(self, why: str) -> None:
        """End it and its process group at once."""
        if self.pid:
            log.warning("%s (pid %d) is killed: %s", self.name, self.pid, why)
            self._killed_for = why
            os.kill(self.pid, signal.SIGKILL)
            self.kill_group()

    def kill_group(self) -> None:
        """End all that is in its process group; for use while its pid is its own, alive or not yet reaped."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def renew(self, now: float) -> None:
        """Bring about a new life: now if there is no process, else after the present one."""
        if self.pid:
            self.stop(now)
        else:
            self._be_due(now)

    def ended(self, code: int, now: float) -> None:
        """The process is gone, with this exit code (negative: the signal)."""
        self.hear(now)  # one read takes all that a pipe can hold
        os.close(self.pipe)
        pid, self.pid, self.pipe, self.tried = self.pid, 0, -1, True
        how = f"exited with {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        self._reason = self._killed_for or self._words.decode(errors="replace") or how
        account = f"{self.name} (pid {pid}) {how} after {now - self._started:.1f} s"
        if self._reason != how:
            account += f": {self._reason}"
        if self.state is State.STOPPING:
            log.info("%s", account)
            self._be_due(now)
        elif code == EXIT_CONFIG:
            log.error("%s; not restarted: correct the configuration, then reload", account)
            self.state = State.REFUSED
        else:
            if now - self._started >= self._times.settled_s:
                self._delay = self._times.restart_min_s
            log.warning("%s; restart in %g s", account, self._delay)
            self._wait(now)

    def describe(self, now: float) -> str:
        """One line for the log."""
        if not self.pid:
            return f"{self.name}: {self.state}, started {self._lives} times, last: {self._reason}"
        beat = f"beat {now - self.beaten:.1f} s ago"
        return f"{self.name}: {self.state}, pid {self.pid}, {beat}, started {self._lives} times"

    def status(self, now: float) -> dict[str, str | int | float | None]:
        """What ``status.json`` says of it; times in seconds."""
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid or None,
            "restarts": max(0, self._lives - 1),
            "beat_age_s": round(now - self.beaten, 3) if self.pid else None,
            "uptime_s": round(now - self._started, 3) if self.pid else None,
            "last_end": self._reason,
        }

    def _wait(self, now: float) -> None:
        self.state, self.due = State.WAITING, now + self._delay
        self._delay = min(2 * self._delay, self._times.restart_max_s)

    def _be_due(self, now: float) -> None:
        self.state, self.due, self._delay = State.WAITING, now, self._times.restart_min_s
