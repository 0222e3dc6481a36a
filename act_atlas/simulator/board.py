"""The simulated PanDA's memory: all jobs, and everything that can happen to them. Thread-safe; nothing is kept on disk.

Time passes when somebody looks: every call first does what was due by the simulator's clock.
"""

from __future__ import annotations

import heapq
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from act_atlas.simulator.adder import complaint
from act_atlas.simulator.clock import SimClock
from act_atlas.simulator.jobs import FINAL, Order, Report, SimJob, dispatched, text_time
from act_atlas.simulator.rules import (
    KILL_AT_ONCE,
    MINUTE,
    REPORTABLE,
    STARTED,
    Answer,
    Wanted,
    batch_id_clash,
    fits,
    label_fits,
    next_status,
    silence_limit,
)

FIRST_PANDAID = 6_000_000_001
TOBEKILLED = Answer(command="tobekilled")
Counts = dict[tuple[str, str, str], dict[str, int]]  # (queue, resource type, label) -> status -> jobs


class Board:
    """payload_extra: arguments added to every payload. adder_s: between a final report and its effect."""

    def __init__(self, clock: SimClock, *, payload_extra: str = "", adder_s: float = 3.0) -> None:
        self.clock = clock
        self.cric: dict[str, Any] = {}
        self.payload_extra, self._adder_s = payload_extra, adder_s
        self._lock = threading.RLock()
        self._jobs: dict[int, SimJob] = {}
        self._next_id = FIRST_PANDAID
        self._waiting: dict[str, dict[tuple[str, str, str], list[tuple[int, int]]]] = defaultdict(dict)
        self._due: list[tuple[float, int]] = []
        self._counts: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
        self._statistics: Counts = {}
        self._statistics_until = 0.0

    def define(self, order: Order) -> list[int]:
        """New jobs in state activated; their PandaIDs. Raises ValueError if one is taken."""
        with self._lock:
            now = self._advance()
            first = order.pandaid or self._next_id
            ids = range(first, first + order.count)
            if taken := [i for i in ids if i in self._jobs]:
                raise ValueError(f"PandaID {taken[0]} exists")
            self._next_id = max(self._next_id, ids.stop)
            key = (order.label, order.resource_type, str(order.fields.get("processingType", "")))
            heap = self._waiting[order.queue].setdefault(key, [])
            for pandaid in ids:
                job = self._jobs[pandaid] = SimJob(pandaid, order, now, status="")
                self._set(job, "activated", "submitter", now)
                heapq.heappush(heap, (-order.priority, pandaid))
            return list(ids)

    def acquire(self, wanted: Wanted, by: str) -> list[dict[str, Any]]:
        """Hand out jobs, the most urgent first, each once."""
        with self._lock:
            now = self._advance()
            if wanted.timeout <= 10:
                return []
            taken = []
            for job in self._pick(self._relabelled(wanted)):
                self._set(job, "sent", by, now)
                job.values |= {"node": wanted.node, "scheduler_id": wanted.scheduler_id, "start_time": text_time(now)}
                taken.append(dispatched(job, self.payload_extra))
            return taken

    def _relabelled(self, wanted: Wanted) -> Wanted:
        """At a queue that is in test, only test jobs are handed out."""
        in_test = self.cric.get(wanted.queue, {}).get("status") == "test"
        return replace(wanted, label="test") if in_test and wanted.label in ("user", "managed", "unified") else wanted

    def _pick(self, wanted: Wanted) -> Iterator[SimJob]:
        heaps = [
            heap
            for (label, resource_type, processing_type), heap in self._waiting[wanted.queue].items()
            if label_fits(wanted, label, processing_type) and wanted.resource_type in ("", resource_type)
        ]
        left, skipped = wanted.n, []
        while left > 0 and (heap := min((h for h in heaps if h), key=lambda h: h[0], default=None)):
            entry = heapq.heappop(heap)
            job = self._jobs[entry[1]]
            if job.status != "activated":
                continue
            if fits(wanted, dispatched(job)):
                left -= 1
                yield job
            else:
                skipped.append((heap, entry))
        for heap, entry in skipped:
            heapq.heappush(heap, entry)

    def update(self, pandaid: int, status: str, values: Mapping[str, Any], by: str) -> Answer:
        """A heartbeat or final report; values under the names of v1."""
        with self._lock:
            now = self._advance()
            if status not in REPORTABLE:
                return Answer(50, message=f"Invalid job status: {status}")
            job = self._jobs.get(pandaid)
            if job is None or job.status in FINAL or values.get("attempt_nr") not in (None, job.order.attempt_nr):
                if values.get("meta_data") and job is None:
                    return Answer(30, message="Failed to add meta_data")
                return TOBEKILLED
            if batch_id_clash(job.values.get("batch_id"), values.get("batch_id")):
                return Answer(30, message="Database error")
            job.updates[status] += 1
            if status in ("finished", "failed"):
                return self._final_report(job, status, values, by, now)
            after = next_status(job.status, status)
            if after is None:
                job.updates["ignored"] += 1
                return Answer(command=job.command)
            self._note(job, after, values, now)
            self._set(job, after, by, now)
            return Answer(command=job.command)

    def _final_report(self, job: SimJob, status: str, values: Mapping[str, Any], by: str, now: float) -> Answer:
        if job.reported:
            return Answer(command="alreadydone")
        job.reported = True
        job.report = Report(
            values.get("attempt_nr") or 0, status, str(values.get("job_output_report") or ""), now + self._adder_s
        )
        kept = {k: v for k, v in values.items() if k != "meta_data" or status == "finished"}
        self._note(job, "holding", kept, now)
        self._set(job, "holding", f"{by}: {status}", now)
        self._watch(job)
        return Answer(command=job.command)

    def _note(self, job: SimJob, after: str, values: Mapping[str, Any], now: float) -> None:
        """Keep what the update says; the first start and end are the server's unless told."""
        if after == "running" and job.status in ("sent", "starting"):
            job.values["start_time"] = text_time(now)
        if after in ("holding", "transferring") and job.status not in ("holding", "transferring"):
            job.values["end_time"] = text_time(now)
        job.values |= {k: v for k, v in values.items() if v is not None and k != "job_output_report"}

    def kill(self, pandaid: int, code: int | None = None) -> bool:
        """Somebody asks for the end of a job; False if there is nothing to end."""
        with self._lock:
            now = self._advance()
            job = self._jobs.get(pandaid)
            if job is None or job.status in FINAL:
                return False
            if code in KILL_AT_ONCE or job.status not in STARTED:
                self._set(job, KILL_AT_ONCE.get(code or 0, "cancelled"), "kill", now)
            else:
                self.command(pandaid, "tobekilled")
            return True

    def command(self, pandaid: int, command: str) -> None:
        """Have the job's next heartbeats answered with a command, beside others."""
        with self._lock:
            job = self._jobs[pandaid]
            if command not in job.commands:
                job.commands.append(command)

    def executed(self, pandaid: int, who: str) -> None:
        """A pilot says that it begins to run the job. Raises KeyError for a job that never was."""
        with self._lock:
            self._jobs[pandaid].executions.append(who)

    def dispatch(self, pandaid: int) -> tuple[int, str, dict[str, Any]] | None:
        """(PandaID, kind, fields as dispatched) of a job, for a pilot that needs no file."""
        with self._lock:
            job = self._jobs.get(pandaid)
            return (pandaid, job.order.kind, dispatched(job)) if job else None

    def queue_data(self, queue: str) -> dict[str, Any] | None:
        """What CRIC tells of a queue, found by its name or its schedconfig name."""
        known = (facts for name, facts in self.cric.items() if queue in (name, facts.get("panda_resource")))
        return next(known, None)

    def executions(self, pandaid: int) -> int:
        """How often a job has begun to run."""
        with self._lock:
            return len(self._jobs[pandaid].executions)

    def queue_of(self, pandaid: int) -> dict[str, Any]:
        """What CRIC tells of the queue of a job; {} if nothing."""
        with self._lock:
            return self.queue_data(self._jobs[pandaid].order.queue) or {}

    def status(self, pandaid: int) -> tuple[str, int] | None:
        """State and attempt number of a job."""
        with self._lock:
            self._advance()
            job = self._jobs.get(pandaid)
            return (job.status, job.order.attempt_nr) if job else None

    def statistics(self) -> Counts:
        """Active jobs, as they were at the last full minute."""
        with self._lock:
            self._advance()
            return self._statistics

    def describe(self, pandaids: Iterable[int] | None = None) -> dict[int, dict[str, Any]]:
        """All there is to know of some or all jobs."""
        with self._lock:
            self._advance()
            wanted: Sequence[int] = list(self._jobs if pandaids is None else pandaids)
            return {i: self._jobs[i].describe() for i in wanted if i in self._jobs}

    def summary(self) -> dict[str, Any]:
        """Counts: jobs by state, jobs that ran, jobs that ran more than once."""
        with self._lock:
            self._advance()
            runs = [len(j.executions) for j in self._jobs.values()]
            return {
                "jobs": dict(Counter(j.status for j in self._jobs.values())),
                "executed": sum(n > 0 for n in runs),
                "executed_twice": sum(n > 1 for n in runs),
            }

    def _set(self, job: SimJob, status: str, by: str, now: float) -> None:
        """The only place where a state changes; also counts as a sign of life."""
        job.modified = now
        if status == job.status:
            return
        counts = self._counts[(job.order.queue, job.order.resource_type, job.order.label)]
        if job.status:
            counts[job.status] -= 1
        if status not in FINAL:
            counts[status] += 1
        job.status = status
        job.history.append((now, status, by))
        self._watch(job)

    def _watch(self, job: SimJob) -> None:
        due = self._deadline(job)
        if due is not None:
            heapq.heappush(self._due, (due, job.id))

    def _deadline(self, job: SimJob) -> float | None:
        """When something happens to the job by itself."""
        if job.report:
            return job.report.due
        limit = silence_limit(job)
        return job.modified + limit.seconds if limit else None

    def _advance(self) -> float:
        """Do what was due; returns the time."""
        now = self.clock.now()
        if now >= self._statistics_until:
            self._statistics = {k: {s: n for s, n in c.items() if n > 0} for k, c in self._counts.items()}
            self._statistics_until = now + MINUTE
        while self._due and self._due[0][0] <= now:
            job = self._jobs[heapq.heappop(self._due)[1]]
            due = self._deadline(job)
            if due is None:
                continue
            if due > now:
                heapq.heappush(self._due, (due, job.id))
            elif job.report:
                self._add(job, job.report, due)
            else:
                self._time_out(job, due)
        return now

    def _add(self, job: SimJob, report: Report, when: float) -> None:
        """The Adder deals with a final report."""
        job.report = None
        if report.attempt_nr != job.order.attempt_nr:
            job.values["adder"] = f"wrong attemptNr -> job={job.order.attempt_nr} <> {report.attempt_nr}"
            self._watch(job)
            return
        status = report.status
        if status == "finished" and (diag := complaint(dispatched(job), report.outputs)):
            job.values |= {"ddm_error_code": 200, "ddm_error_diag": diag}
            status = "failed"
        elif status == "failed" and job.killed:
            status = "cancelled"
        elif status == "failed" and job.values.get("job_sub_status") == "pilot_closed":
            status = "closed"
        self._set(job, status, "adder", when)

    def _time_out(self, job: SimJob, when: float) -> None:
        limit = silence_limit(job)
        if limit is None:
            return
        job.values |= {"job_dispatcher_error_code": limit.code, "job_dispatcher_error_diag": limit.diag}
        job.values["end_time"] = text_time(job.modified)
        self._set(job, limit.status, "watcher", when)
