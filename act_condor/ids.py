"""Names of jobs: ``cluster.proc#qdate``, which is never given twice, as a schedd may begin to count anew."""

from __future__ import annotations

from act.errors import JobGone
from act_condor.states import Ad


def id_of(ad: Ad) -> str:
    """The id of a job."""
    return f"{ad['ClusterId']}.{ad['ProcId']}#{ad['QDate']}"


def is_id(job: str) -> bool:
    """Whether it looks like one."""
    return job.replace(".", "").replace("#", "").isdecimal() and job.count(".") == job.count("#") == 1


def gone(job: str) -> JobGone:
    """The answer for a job that a schedd does not know."""
    return JobGone(f"the schedd does not know job {job}")


def quoted(text: str) -> str:
    """A text in an expression."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
