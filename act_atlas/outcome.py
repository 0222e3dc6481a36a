"""What the end of an attempt means for its PanDA job. Pure: facts in, decision out.

A true pilot has told PanDA and storage everything itself, so an attempt that ended is the end of its job. In NorduGrid
mode the tower speaks for the pilot: it goes by the report that the pilot left behind, and tries again where the CE was
at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from act.errors import BadJobSpec, JobError
from act_atlas.config import AtlasErrors
from act_atlas.db.outputs import CHECK, MISSING, REMOVE, NewOutput
from act_atlas.pandajob import PandaJob
from act_atlas.replicas import host_of
from act_atlas.report import Output, PilotReport, missing_outputs
from act_atlas.states import Event

KILLED_CODE, LOST_CODE, FAILED_CODE, STAGEOUT_CODE = 1144, 9001, 9000, 1137
INCOMPLETE = "incomplete"
BAD = (MISSING, INCOMPLETE, "wrong size", "wrong checksum")  # findings that make an attempt worthless


class Job(Protocol):
    """The row of a PanDA job, as far as it matters here."""

    state: str
    attempts: int
    job: str
    error_diag: str | None


class Attempt(Protocol):
    """The row of an attempt that is over."""

    state: str
    error: str | None
    ce_state: str | None


class StoredFile(Protocol):
    """The row of an output."""

    lfn: str
    finding: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Left:
    """What the pilot of an attempt left behind. why_not: why there is no report of any use. extract: of its logs."""

    report: PilotReport | None = None
    why_not: str = ""
    extract: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happens to the job, one event after the other. wish: what is to be done with the files it has stored."""

    events: tuple[Event, ...]
    why: str
    error_code: int | None = None
    files: Sequence[NewOutput] = ()
    wish: str = REMOVE

    def values(self) -> dict[str, Any]:
        """For the row of the job."""
        return {} if self.error_code is None else {"error_code": self.error_code, "error_diag": self.why[:500]}


def of_requeued(job: Job) -> Outcome:
    """Its attempt left the CE before it ran, as an operator wanted: another one, unless the job itself is to end."""
    if job.state == "tobekilled":
        return Outcome((Event.KILLED,), _killed(job), KILLED_CODE)
    return Outcome((Event.RESUBMIT,), "an operator had it leave its CE before it ran")


def of_true_pilot(job: Job, attempt: Attempt) -> Outcome:
    """The pilot has said what there is to say; the tower's word counts only if PanDA has not heard the pilot."""
    if attempt.state == "done":
        events = (Event.KILLED,) if job.state == "tobekilled" else (Event.ENDED, Event.VALID)
        return Outcome(events, "the CE says it ended well")
    code, why = _fault(job, attempt)
    return Outcome((Event.KILLED,) if job.state == "tobekilled" else (Event.BROKEN, Event.CLEANED), why, code)


def of_nordugrid(job: Job, attempt: Attempt, left: Left, policy: AtlasErrors) -> Outcome:
    """The report decides if there is one; without, the CE's error says whether to try again."""
    report = left.report
    try:
        files = _files(job, report) if report is not None else ()
    except BadJobSpec as error:
        return Outcome((Event.BROKEN,), f"what it should make is unknown: {error}", FAILED_CODE)
    if job.state == "tobekilled":
        _, why = _fault(job, attempt)
        return Outcome((Event.BROKEN,) if files else (Event.KILLED,), why, KILLED_CODE, files)
    if report is not None and report.status == "failed":
        return Outcome((Event.BROKEN,), "the pilot reports failure", _pilot_code(report), files)
    if attempt.state == "done":
        if report is not None:
            return Outcome((Event.ENDED,), "the CE says it ended well", None, files, CHECK)
        return Outcome((Event.BROKEN,), f"the pilot left no usable report: {left.why_not}", FAILED_CODE)
    code, why = _fault(job, attempt)
    if attempt.state != "lost" and job.attempts < policy.max_attempts and any(t in why for t in policy.resubmit):
        return Outcome((Event.RESUBMIT,), f"attempt {job.attempts} of {policy.max_attempts}: {why}", None, files)
    return Outcome((Event.BROKEN,), why, code, files)


def of_validation(job: Job, files: Sequence[StoredFile], policy: AtlasErrors) -> Outcome:
    """All files were looked at: a job is as good as the worst of them."""
    bad = [f"{f.lfn} is {_words(f)}" for f in files if f.finding in BAD]
    if not bad:
        unsure = [f"{f.lfn} is {_words(f)}" for f in files if f.finding != "good"]
        good = f"{len(files) - len(unsure)} outputs are as reported"
        return Outcome((Event.VALID,), "; ".join([good, *unsure])[:500])
    why = "; ".join(bad)[:500]
    if job.attempts < policy.max_attempts:
        return Outcome((Event.RESUBMIT,), f"attempt {job.attempts} of {policy.max_attempts}: {why}")
    return Outcome((Event.BROKEN,), why, STAGEOUT_CODE)


def _words(file: StoredFile) -> str:
    return f"{file.finding} ({file.detail})" if file.detail else str(file.finding)


def _fault(job: Job, attempt: Attempt) -> tuple[int, str]:
    """(pilot error code, text) for an attempt that did not end well."""
    if job.state == "tobekilled":
        return KILLED_CODE, _killed(job)
    if attempt.state == "lost":
        return LOST_CODE, "the CE gave no word of the job for too long"
    return FAILED_CODE, attempt.error or f"the CE says {attempt.ce_state or 'nothing'}"


def _killed(job: Job) -> str:
    """An operator has said why."""
    return job.error_diag or "killed on request"


def _pilot_code(report: PilotReport) -> int:
    """PanDA does not retry a failed job as it should that has no error code at all."""
    codes = (report.values.get(name) for name in ("pilot_error_code", "exe_error_code", "trans_exit_code"))
    return next((int(c) for c in codes if c), FAILED_CODE)


def _files(job: Job, report: PilotReport) -> list[NewOutput]:
    """The files that the report names, and those that it should name."""
    found = [_file(o) for o in report.outputs]
    if report.status == "failed":
        return [f for f in found if f.host]
    missing = missing_outputs(PandaJob.parse(job.job), report.outputs)
    return found + [NewOutput(lfn, "", "", finding=MISSING, detail="the pilot's report does not have it")
                    for lfn in missing]  # fmt: skip


def _file(output: Output) -> NewOutput:
    lfn, url = output.lfn, output.surl
    if not url:
        return NewOutput(lfn, "", "", finding=MISSING, detail="the pilot's report does not say where it is")
    try:
        host = host_of(url)
    except JobError as error:
        return NewOutput(lfn, url, "", finding=MISSING, detail=str(error))
    if not output.complete:
        return NewOutput(lfn, url, host, finding=INCOMPLETE, detail="the pilot's report lacks guid, size or checksum")
    return NewOutput(lfn, url, host, output.size, output.adler32, output.md5)
