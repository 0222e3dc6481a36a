"""The life of jobs at the simulated CE: the same for jobs that really run and for jobs that only pretend to."""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from act_arc.simulator.job import SimJob
from act_arc.simulator.rsl import Description
from act_arc.simulator.timeline import Timeline

Done = Callable[[str], None]  # called with what went wrong, or ""
Ran = Callable[[int | None, str], None]  # called with the exit code (None: did not end by itself) and what went wrong


class Backend(Protocol):
    """Does, or pretends to do, the work of a job; every call returns at once and calls back when it is done."""

    def stage_in(self, job: SimJob, done: Done) -> None:
        """Bring the inputs that the CE itself fetches."""

    def run(self, job: SimJob, ran: Ran) -> None:
        """Execute it."""

    def kill(self, job: SimJob) -> None:
        """End its execution now."""

    def stage_out(self, job: SimJob, done: Done) -> None:
        """Keep the outputs, bring away those with a destination, remove the rest."""

    def output(self, job: SimJob, name: str) -> bytes | None:
        """The content of an output that exists without being a file; None if there is none."""

    def stop(self) -> None:
        """End everything."""


@dataclass(frozen=True)
class Limits:
    """How the CE treats jobs. slots: how many run at a time (None: all)."""

    upload_timeout_s: float = 600.0
    queue_s: float = 0.0
    kill_s: float = 0.0
    slots: int | None = None


class Engine:
    """All jobs of a CE. `lock` guards them; calls from outside are made with the lock held."""

    def __init__(
        self, sessions: Path, backend: Backend, timeline: Timeline, limits: Limits,
        tell: Callable[[str, SimJob], None], long_ids: bool,
    ) -> None:  # fmt: skip
        self.lock = threading.RLock()
        self.jobs: dict[str, SimJob] = {}
        self.gone: list[SimJob] = []  # cleaned or lost, kept for the count of executions
        self._sessions, self._backend, self._timeline, self._limits = sessions, backend, timeline, limits
        self._tell, self._long_ids = tell, long_ids
        self._running = 0
        self._queue: deque[tuple[SimJob, int]] = deque()

    def create(self, description: Description, owner: str, delegation: str, queue: str) -> SimJob:
        """Take a job; it goes as far as it can at once."""
        job_id = _long_id() if self._long_ids else secrets.token_hex(6)
        job = SimJob(job_id, owner, description, delegation, queue, self._sessions.resolve() / job_id)
        self.jobs[job_id] = job
        job.enter("ACCEPTED")
        self._prepare(job)
        return job

    def uploaded(self, job: SimJob, name: str) -> None:
        """A client has brought a file of the job."""
        job.uploaded.append(name)
        was_missing = bool(job.missing)
        if self._complete(job, name):
            job.missing.discard(name)
        if was_missing and not job.missing and job.state == "PREPARING":
            self._stage_in(job)

    def kill(self, job: SimJob) -> None:
        """End a job; nothing happens to one that has ended."""
        if job.ended or job.state == "KILLING":
            return
        job.epoch += 1
        where = "INLRMS" if job.state == "RUNNING" else job.state
        if where == "INLRMS":
            job.enter("KILLING")
            self._backend.kill(job)
            job.stopped = time.time()
            self._free_slot(job)
        self._timeline.after(self._limits.kill_s, self._later(job, lambda: self._killed(job, where)))

    def restart(self, job: SimJob) -> str:
        """Repeat the phase in which a job failed; returns A-REX's objection, or ""."""
        if job.state not in ("FAILED", "KILLED"):
            return "Job has not failed"
        if job.restarts >= job.description.reruns or not job.failed_in:
            return "No more restarts allowed"
        job.restarts += 1
        job.epoch += 1
        where, job.failed_in, job.error = job.failed_in, "", ""
        job.exit_code = None
        if where == "FINISHING":
            self._finish(job)
        elif where == "INLRMS":  # the batch system has nothing of it any more, so it is not run again
            job.enter("EXITINGLRMS")
            self._fail(job, "INLRMS", "LRMS error: (-1) Job died unexpectedly")
        elif where == "PREPARING":
            self._prepare(job)
        else:
            self._submit(job)
        return ""

    def clean(self, job: SimJob) -> None:
        """Forget a job as soon as it has ended."""
        job.cleaned = time.time()
        if job.ended:
            self.forget(job)

    def forget(self, job: SimJob) -> None:
        """Remove a job as if it had never been here; should it still run, it goes on unseen."""
        if self.jobs.pop(job.id, None):
            self.gone.append(job)

    def output(self, job: SimJob, name: str) -> bytes | None:
        """The content of an output that exists without being a file."""
        return self._backend.output(job, name)

    def stop(self) -> None:
        """End all that runs."""
        with self.lock:
            for job in (*self.jobs.values(), *self.gone):
                job.epoch += 1
        self._backend.stop()

    def _complete(self, job: SimJob, name: str) -> bool:
        """True if an uploaded file has the size that was announced, if one was."""
        announced = dict(job.description.inputs).get(name, "").split(".")[0]
        path = job.path(name)
        if not announced or path is None:
            return True
        try:
            return path.stat().st_size == int(announced)
        except FileNotFoundError:  # uploaded again, and the job has ended meanwhile
            return False

    def _later(self, job: SimJob, call: Callable[[], None]) -> Callable[[], None]:
        """``call`` under the lock, unless the job has moved on in another way by then."""
        epoch = job.epoch

        def guarded() -> None:
            with self.lock:
                if job.epoch == epoch:
                    call()

        return guarded

    def _staged(self, job: SimJob, call: Callable[[SimJob, str], None]) -> Done:
        """As `_later`, for the end of a phase of staging that begins now."""
        epoch = job.epoch

        def guarded(error: str) -> None:
            with self.lock:
                if job.epoch == epoch:
                    call(job, error)

        return guarded

    def _prepare(self, job: SimJob) -> None:
        job.enter("PREPARING")
        if job.missing:
            timeout = self._later(job, lambda: self._no_upload(job))
            self._timeline.after(self._limits.upload_timeout_s, timeout)
        else:
            self._stage_in(job)

    def _no_upload(self, job: SimJob) -> None:
        if job.missing:
            self._fail(job, "PREPARING", "".join(f"User file: /{n} - Timeout waiting\n" for n in sorted(job.missing)))

    def _stage_in(self, job: SimJob) -> None:
        self._backend.stage_in(job, self._staged(job, self._staged_in))

    def _staged_in(self, job: SimJob, error: str) -> None:
        if error:
            self._fail(job, "PREPARING", error)
        else:
            self._submit(job)

    def _submit(self, job: SimJob) -> None:
        job.enter("SUBMITTING")
        job.enter("QUEUING")
        self._timeline.after(self._limits.queue_s, self._later(job, lambda: self._wait_for_slot(job)))

    def _wait_for_slot(self, job: SimJob) -> None:
        self._queue.append((job, job.epoch))
        self._fill_slots()

    def _fill_slots(self) -> None:
        while self._queue and (self._limits.slots is None or self._running < self._limits.slots):
            job, epoch = self._queue.popleft()
            if job.epoch == epoch:
                self._run(job)

    def _free_slot(self, job: SimJob) -> None:
        self._running -= 1
        self._tell("end", job)
        self._fill_slots()

    def _run(self, job: SimJob) -> None:
        self._running += 1
        job.enter("RUNNING")
        job.executions += 1
        job.started, job.stopped = time.time(), None
        self._tell("start", job)
        epoch = job.epoch

        def ran(code: int | None, error: str) -> None:
            with self.lock:
                if job.epoch == epoch:
                    self._ran(job, code, error)

        self._backend.run(job, ran)

    def _ran(self, job: SimJob, code: int | None, error: str) -> None:
        job.stopped, job.exit_code = time.time(), code
        job.enter("EXITINGLRMS")
        self._free_slot(job)
        if error:
            self._fail(job, "INLRMS", error)
        else:
            self._finish(job)

    def _finish(self, job: SimJob) -> None:
        job.enter("FINISHING")
        self._backend.stage_out(job, self._staged(job, self._finished))

    def _finished(self, job: SimJob, error: str) -> None:
        if error:
            self._fail(job, "FINISHING", error)
        else:
            self._end(job, "FINISHED")

    def _fail(self, job: SimJob, where: str, error: str) -> None:
        job.failed_in, job.error = where, error
        job.epoch += 1
        self._end(job, "FAILED")

    def _killed(self, job: SimJob, where: str) -> None:
        job.failed_in, job.error = where, "Job is canceled by external request"
        self._end(job, "KILLED")

    def _end(self, job: SimJob, state: str) -> None:
        job.enter(state)
        if job.cleaned is not None:
            self.forget(job)


def _long_id() -> str:
    """An id as A-REX 6 makes them."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(54))


def executions(jobs: Mapping[str, SimJob] | list[SimJob], key: Callable[[SimJob], str]) -> dict[str, int]:
    """How often jobs were executed, summed by ``key``; jobs for which it is empty are left out."""
    counts: dict[str, int] = {}
    for job in jobs.values() if isinstance(jobs, Mapping) else jobs:
        if name := key(job):
            counts[name] = counts.get(name, 0) + job.executions
    return counts
