"""The master: starts, watches, restarts and stops the daemons of one host. It knows no job logic.

One thread, one loop: signals only wake it up, children are heard through pipes. A child that is silent is killed, one
that ends comes back after a growing delay, one that ends with 78 stays away until the next SIGHUP.
SIGTERM and SIGINT stop everything (twice: at once), SIGHUP checks the configuration and restarts the children one by
one, SIGUSR1 logs how they are.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from act.errors import ActError
from act.master.child import EXIT_CONFIG, DaemonSpec
from act.master.hostlock import host_lock
from act.master.slot import Slot, State, Times
from act.master.systemd import notify

EXIT_OK = 0
STATUS_FILE = "status.json"
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)

log = logging.getLogger(__name__)


class Master:
    """Keeps ``specs`` running until a signal ends it.

    run_dir: for the lock file and the status, one per host and better not on a disk.
    reload: called on SIGHUP; returns the specs to run from then on, or raises ConfigError and nothing changes.
    """

    def __init__(
        self,
        run_dir: Path,
        specs: Sequence[DaemonSpec],
        times: Times = Times(),  # noqa: B008 - frozen
        reload: Callable[[], Sequence[DaemonSpec]] | None = None,
    ) -> None:
        self._run_dir = run_dir
        self._times = times
        self._specs = specs
        self._reload = reload or (lambda: specs)
        self._slots: list[Slot] = []
        self._generation = 0
        self._stopping = False
        self._ready = False
        self._heard = 0.0  # when the loop last listened
        self._told = float("-inf")  # when the status was last written

    def run(self) -> int:
        """Run in the foreground; returns the exit code: 0, or 78 if every daemon refused its configuration.

        Raises AlreadyRunning if another master holds the run directory, ConfigError if a daemon cannot be loaded.
        """
        with host_lock(self._run_dir / "master.lock") as lock, selectors.DefaultSelector() as selector:
            self._selector = selector
            with self._wakeups() as (wake_in, wake_out):
                self._private = (lock, wake_in, wake_out, selector.fileno())
                self._plan(self._specs)
                # What exists now is never looked at by the collectors of the children, so its pages stay shared.
                gc.collect()
                gc.freeze()
                try:
                    return self._loop(wake_in)
                finally:
                    self._end()

    @contextmanager
    def _wakeups(self) -> Iterator[tuple[int, int]]:
        """A pipe that gets the number of each signal as a byte."""
        wake_in, wake_out = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(wake_in, selectors.EVENT_READ)
        handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        before = signal.set_wakeup_fd(wake_out, warn_on_full_buffer=False)
        try:
            yield wake_in, wake_out
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(wake_in)
            os.close(wake_out)

    def _loop(self, wake_in: int) -> int:
        log.info("master %d starts %d daemons", os.getpid(), len(self._slots))
        while True:
            now = time.monotonic()
            self._reap(now)
            if self._stopping:
                if not any(slot.pid for slot in self._slots):
                    log.info("all daemons have ended")
                    return EXIT_OK
            elif self._slots and all(slot.state is State.REFUSED for slot in self._slots):
                log.error("every daemon refused its configuration: correct it and start again")
                return EXIT_CONFIG
            else:
                self._roll(now)
                self._start(now)
            for slot in self._slots:
                slot.check(now)
            self._tell(now)
            self._listen(wake_in, now)

    def _plan(self, specs: Sequence[DaemonSpec]) -> None:
        """Take up new specs: slots for new names, marks on those that shall leave."""
        wanted = {name: spec.load() for spec in specs for name in spec.instances()}
        for slot in self._slots:
            slot.leaving = slot.name not in wanted
            slot.target = wanted.pop(slot.name, slot.target)
        self._slots += [Slot(name, target, self._times) for name, target in wanted.items()]
        self._generation += 1

    def _listen(self, wake_in: int, now: float) -> None:
        """Wait for beats and signals, until the next thing is due."""
        due = [slot.due for slot in self._slots if slot.state is State.WAITING and not self._stopping]
        events = self._selector.select(max(0.0, min([now + self._times.beat_s, *due]) - now))
        now = time.monotonic()
        if now - self._heard > self._times.stale_s / 2:  # we stood still ourselves, maybe all of the host
            for slot in self._slots:
                slot.beaten = now
        self._heard = now
        for key, _ in events:
            if isinstance(key.data, Slot):
                if not key.data.hear(now):
                    self._selector.unregister(key.fd)
            else:
                for number in dict.fromkeys(os.read(wake_in, 4096)):
                    self._signalled(signal.Signals(number), now)

    def _signalled(self, number: signal.Signals, now: float) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop(now)
        elif number == signal.SIGHUP and not self._stopping:
            self._renew()
        elif number == signal.SIGUSR1:
            for slot in self._slots:
                log.info("%s", slot.describe(now))

    def _stop(self, now: float) -> None:
        again, self._stopping = self._stopping, True
        notify("STOPPING=1")
        log.info("stopping %s", "at once" if again else f"within {self._times.stop_s:g} s")
        for slot in self._slots:
            if again:
                slot.kill("the master was told twice to stop")
            else:
                slot.stop(now)

    def _renew(self) -> None:
        try:
            self._plan(self._reload())
        except ActError as error:
            log.error("not reloaded, all goes on as before: %s", error)
            return
        log.info("configuration reloaded, daemons restart one by one")

    def _reap(self, now: float) -> None:
        """Bury the dead, with whatever they left in their process group."""
        slots = {slot.pid: slot for slot in self._slots if slot.pid}
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if dead is None:
                return
            slot = slots.get(dead.si_pid)
            if slot is not None:
                slot.kill_group()  # while the pid still cannot belong to anybody else
                if slot.pipe in self._selector.get_map():
                    self._selector.unregister(slot.pipe)
            _, status = os.waitpid(dead.si_pid, 0)
            if slot is not None:
                slot.ended(os.waitstatus_to_exitcode(status), now)

    def _roll(self, now: float) -> None:
        """After a reload: restart the next child that is from before it, once the one before runs."""
        for slot in [slot for slot in self._slots if slot.leaving and not slot.pid]:
            self._slots.remove(slot)
        if any(slot.state in (State.STARTING, State.STOPPING) for slot in self._slots):
            return
        old = next((slot for slot in self._slots if 0 < slot.generation < self._generation), None)
        if old is not None:
            old.renew(now)

    def _start(self, now: float) -> None:
        for slot in self._slots:
            if slot.state is State.WAITING and slot.due <= now and not slot.leaving:
                pipes = tuple(other.pipe for other in self._slots if other.pid)
                if slot.start(self._generation, now, (*self._private, *pipes)):
                    self._selector.register(slot.pipe, selectors.EVENT_READ, slot)

    def _tell(self, now: float) -> None:
        """Tell systemd and people how it goes."""
        if not self._ready and all(slot.tried for slot in self._slots):
            self._ready = True
            notify("READY=1")
        if now - self._told < self._times.status_s:
            return
        self._told = now
        running = sum(slot.state is State.RUNNING for slot in self._slots)
        notify("WATCHDOG=1", f"STATUS={running} of {len(self._slots)} daemons run")
        status = {
            "pid": os.getpid(),
            "written": time.time(),
            "state": "stopping" if self._stopping else "running",
            "daemons": [slot.status(now) for slot in self._slots],
        }
        part = self._run_dir / f".{STATUS_FILE}"
        try:
            part.write_text(json.dumps(status))
            part.replace(self._run_dir / STATUS_FILE)  # no fsync: the master must never wait for a disk
        except OSError as error:
            log.warning("the status cannot be written: %s", error)

    def _end(self) -> None:
        """Leave nothing behind, also after an error of our own."""
        for slot in self._slots:
            if slot.pid:
                slot.kill("the master ends")
                os.waitpid(slot.pid, 0)
        with suppress(OSError):
            (self._run_dir / STATUS_FILE).unlink(missing_ok=True)


def read_status(run_dir: Path) -> dict[str, Any] | None:
    """What the running master of this host last wrote of itself; None if there is none.

    Keys: pid, written (epoch seconds), state, daemons (see `Slot.status`).
    """
    try:
        status: dict[str, Any] = json.loads((run_dir / STATUS_FILE).read_text())
    except FileNotFoundError:
        return None
    try:
        os.kill(status["pid"], 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it runs, as somebody else
    return status
