"""What the tower says of a job to PanDA, in heartbeats and at its end. Pure: rows in, updates out."""

from __future__ import annotations

from typing import Any, Protocol

from act_atlas.panda import JobUpdate
from act_atlas.report import PilotReport, consistent_times, output_report

STATUS = {"sent": "starting", "starting": "starting", "running": "running", "transferring": "transferring",
          "tovalidate": "transferring"}  # fmt: skip
NO_REPORT_CODE = 9000


class Job(Protocol):
    """The row of a PanDA job."""

    pandaid: int
    queue: str
    state: str
    attempt_nr: int
    cores: int
    truepilot: bool
    told: str | None
    node: str | None
    created: float
    start_time: float | None
    end_time: float | None
    error_code: int | None
    error_diag: str | None
    exit_code: int | None


def status_of(job: Job) -> str:
    """PanDA takes no step back from transferring: what comes after would not even count as a sign of life."""
    if job.told == "transferring":
        return job.told
    return STATUS.get(job.state, job.told or "starting")


def heartbeat(job: Job, scheduler_id: str, log_url: str) -> JobUpdate:
    """A sign of life."""
    return JobUpdate(
        job_id=job.pandaid,
        job_status=status_of(job),
        attempt_nr=job.attempt_nr,
        site_name=job.queue,
        scheduler_id=scheduler_id,
        pilot_id=_pilot_id(log_url),
        node=job.node,
        core_count=job.cores,
        job_metrics=f"coreCount={job.cores}",
    )


def final(job: Job, scheduler_id: str, log_url: str, report: PilotReport | None, extract: str) -> JobUpdate:
    """The end: in the pilot's words if it left a report, else in the tower's.

    A job that PanDA is told has finished has a report with all its outputs; otherwise it has failed.
    """
    values: dict[str, Any] = dict(report.values) if report is not None else {}
    finished = job.state in ("finished", "done") and not job.truepilot and report is not None
    times = consistent_times(
        values.pop("start_time", None) or job.start_time,
        values.pop("end_time", None) or job.end_time,
        values.pop("cpu_consumption_time", None),
        None,
        job.cores,
        created=job.created,
    )
    if times.cpu_s is not None:
        values["cpu_consumption_time"] = times.cpu_s
    code, diag = (None, None) if finished else _fault(job, values)
    return JobUpdate(
        job_id=job.pandaid,
        job_status="finished" if finished else "failed",
        attempt_nr=job.attempt_nr,
        site_name=job.queue,
        scheduler_id=scheduler_id,
        pilot_id=values.pop("pilot_id", None) or _pilot_id(log_url),
        node=values.pop("node", None) or job.node,
        core_count=job.cores,
        start_time=times.start,
        end_time=times.end,
        pilot_error_code=code,
        pilot_error_diag=diag,
        trans_exit_code=values.pop("trans_exit_code", job.exit_code),
        pilot_log=extract or None,
        job_output_report=output_report(report.outputs) if report is not None else None,
        meta_data=report.meta_data or None if report is not None and finished else None,
        measurements=values,
    )


def _pilot_id(log_url: str) -> str:
    return f"{log_url}|Unknown|Unknown|Unknown|Unknown"


def _fault(job: Job, values: dict[str, Any]) -> tuple[int, str]:
    """What the tower found wrong goes before what the pilot said, unless that is what the tower says, too."""
    code, diag = values.pop("pilot_error_code", None), values.pop("pilot_error_diag", None)
    if job.error_code is not None and job.error_code != code:
        return job.error_code, job.error_diag or diag or "unknown"
    return code or NO_REPORT_CODE, diag or job.error_diag or "the pilot ended without a report"
