"""PanDA's rules as data and pure functions: who may take a job, how long silence is borne, what an update does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from act_atlas.simulator.jobs import SimJob

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
REPORTABLE = frozenset({"running", "failed", "finished", "holding", "starting", "transferring"})
KILL_AT_ONCE = {9: "cancelled", 52: "cancelled", 99: "cancelled", **dict.fromkeys((51, 2, 4, 10, 55, 60), "closed")}
STARTED = frozenset({"sent", "starting", "running", "holding", "transferring", "merging"})

_PRODUCTION = ("managed", "test", "prod_test", "install")
_USER = ("user", "panda", "install")
_LABELS = {"": _PRODUCTION, "managed": _PRODUCTION, "user": _USER, "unified": (*_PRODUCTION, "user", "panda")}


@dataclass(frozen=True)
class Wanted:
    """The arguments of one request for jobs. Numbers: MB and seconds, 0 for no cut."""

    queue: str
    n: int = 1
    label: str = ""
    timeout: int = 60
    memory: int = 0
    disk_space: int = 0
    remaining_time: int = 0
    resource_type: str = ""
    computing_element: str = ""
    task_id: int = 0
    node: str = ""
    scheduler_id: str = ""


@dataclass(frozen=True)
class Answer:
    """What an update is answered: a status code, a command, and a message if the code is bad."""

    code: int = 0
    command: str = "NULL"
    message: str = ""


@dataclass(frozen=True)
class Limit:
    """How long a job may be silent, and what it becomes then."""

    seconds: float
    status: str
    code: int
    diag: str


def label_fits(wanted: Wanted, label: str, processing_type: str) -> bool:
    """Whether a request may get jobs of this prodSourceLabel."""
    if wanted.label == "test" and wanted.computing_element:
        return processing_type == "gangarobot" or label in ("prod_test", "install", "test")
    return label in _LABELS.get(wanted.label, (wanted.label,))


def fits(wanted: Wanted, fields: Mapping[str, Any]) -> bool:
    """Whether the job's needs are within what is offered."""
    cuts = (("minRamCount", wanted.memory), ("maxDiskCount", wanted.disk_space), ("maxWalltime", wanted.remaining_time))
    return all(not most or int(fields.get(name) or 0) <= most for name, most in cuts) and (
        not wanted.task_id or fields.get("taskID") == wanted.task_id
    )


def silence_limit(job: SimJob) -> Limit | None:
    """The time-out of the job's present state."""
    user = job.order.label in ("user", "panda")
    if job.status == "activated":
        return Limit(2 * DAY, "closed", 0, "not taken in time")
    if job.status == "sent":
        return Limit(30 * MINUTE, "failed", 102, "Sent job didn't receive reply from pilot within 30 min")
    if job.status in ("starting", "running"):
        return Limit(2 * HOUR, "failed", 100, "lost heartbeat")
    if job.status == "transferring":
        short = user or bool(job.values.get("job_sub_status"))
        long = 2 * DAY if job.order.priority >= 800 else 6 * DAY
        return Limit(2 * HOUR if short else long, "failed", 104, "transferring for too long")
    if job.status == "holding":
        short = user or job.order.priority > 800
        return Limit(3 * HOUR if short else 48 * HOUR, "failed", 0, "holding for too long")
    return None


def next_status(old: str, new: str) -> str | None:
    """The state after a heartbeat; None if it is ignored and does not even count as a sign of life."""
    if old == "merging" or (old in ("holding", "transferring") and new in ("running", "starting")):
        return None
    if old == "holding" and new in ("holding", "transferring"):
        return None
    return "running" if (old, new) == ("running", "starting") else new


def batch_id_clash(old: object, new: object) -> bool:
    """Whether the server of today chokes on this change of batch id."""
    both = [str(x) for x in (old, new) if x]
    return len(both) == 2 and both[0] != both[1] and not any(re.fullmatch(r"\d+\.*\d+", x) for x in both)
