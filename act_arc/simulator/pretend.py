"""Jobs that only pretend to run: no processes, no threads, no files; thousands cost next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from act_arc.simulator.engine import Done, Ran
from act_arc.simulator.job import SimJob
from act_arc.simulator.timeline import Timeline


@dataclass
class Pretender:
    """Takes the given times. A job chooses for itself by arguments: ``--sim-exit=3`` its exit code, ``--sim-run=60``
    its run time in seconds, ``--sim-stagein-fails=2`` how often its staging in fails."""

    timeline: Timeline
    run_s: float = 1.0
    stage_s: float = 0.0
    on_output: Callable[[SimJob, str, bytes], bytes | None] | None = None

    def stage_in(self, job: SimJob, done: Done) -> None:
        """Take `stage_s`."""
        self._stage(job, "stagein-fails", done)

    def run(self, job: SimJob, ran: Ran) -> None:
        """Take `run_s`, or what the job wants."""
        seconds = float(job.marks.get("run", self.run_s))
        self.timeline.after(seconds, lambda: self._ran(job, ran))

    def kill(self, job: SimJob) -> None:
        """There is nothing to end."""

    def stage_out(self, job: SimJob, done: Done) -> None:
        """Take `stage_s`."""
        self._stage(job, "stageout-fails", done)

    def output(self, job: SimJob, name: str) -> bytes | None:
        """A line of text for every output that stays at the CE, once the job has ended by itself."""
        if job.exit_code is None or (name, "") not in job.description.outputs:
            return None
        content = f"pretended output {name} of job {job.id}\n".encode()
        return self.on_output(job, name, content) if self.on_output else content

    def stop(self) -> None:
        """There is nothing to end."""

    def _stage(self, job: SimJob, mark: str, done: Done) -> None:
        fails = job.restarts < int(job.marks.get(mark, 0))
        error = "Failed in data staging: pretended failure\n" if fails else ""
        self.timeline.after(self.stage_s, lambda: done(error))

    def _ran(self, job: SimJob, ran: Ran) -> None:
        code = int(job.marks.get("exit", job.exit_code or 0))
        ran(code, f"LRMS error: ({code}) Job finished with wrong exit code - {code} != 0" if code else "")
