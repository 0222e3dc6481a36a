"""Conversion rules that several types of CE share: rows, and values that rows of each have on conditions of their own.

Source: what sites have been sent for years; exceptions for single sites are in the configuration.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from act.model import InputFile
from act_atlas.conversion.rules import Facts, Rule, add

DEFAULT_RAM_MB = 4000
WRAPPER = "runpilot2-wrapper.sh"
JOB_FILE = "pandaJobData.out"


def rc_test(f: Facts, _: Any) -> bool:
    """A test of a release candidate of the pilot."""
    return f.job.label.startswith("rc_test")


def server(f: Facts, _: Any) -> tuple[str, ...]:
    """How the pilot reaches PanDA."""
    parts = urlsplit(f.config.panda.server)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return ("--url", f"{parts.scheme}://{host}", "-p", str(parts.port or 25443))


def pilot_url(f: Facts, _: Any) -> tuple[str, ...]:
    """Which pilot the wrapper is to run, by its place."""
    return ("--piloturl", f.draft.pilot_url)


def pilot_version(f: Facts, _: Any) -> tuple[str, ...]:
    """Which pilot the wrapper is to run, by its version."""
    return ("--pilotversion", f.queue.pilot_version)


def row_id(f: Facts, _: Any) -> dict[str, str]:
    """The job's number in the tower, for those who monitor pilots."""
    return {"APFCID": str(f.rowid)}


def factory(f: Facts, _: Any) -> dict[str, str]:
    """Who sent the pilot and to which queue, for those who monitor pilots."""
    return {
        "APFFID": f.meta("harvesterid") or f.config.panda.schedulerid,
        "APFMON": f.config.monitor.apfmon,
        "FACTORYQUEUE": f.queue.name,
    }


SIZE = (
    Rule("name", "the job's jobName", lambda f, v: f.job.text("jobName", "pandajob")),
    Rule("count", "the job's coreCount, or 1", lambda f, v: f.job.cores),
)  # fmt: skip

# What resources a job is of is told by PanDA, or seen from its cores and, with each CE type's own idea of it, memory.
RESOURCE_TYPE = (
    Rule("resource_type", "the job's resource type", lambda f, v: f.job.resource_type,
         lambda f, v: bool(f.job.resource_type)),
    Rule("resource_type", "by cores", lambda f, v: "MCORE" if f.draft.count > 1 else "SCORE",
         lambda f, v: not f.job.resource_type),
)  # fmt: skip

DISK = Rule(
    "disk_mb", "the job's maxDiskCount, or 500 MB, and 2000 MB for the pilot",
    lambda f, v: (f.job.disk_mb or 500) + 2000, lambda f, v: f.site.request_disk,
)  # fmt: skip

PRIORITY = (
    Rule("priority", "the job has no currentPriority", lambda f, v: None,
         lambda f, v: not f.job.has("currentPriority")),
    Rule("priority", "the job's currentPriority is null: the middle", lambda f, v: 50,
         lambda f, v: f.job.has("currentPriority") and f.job.priority is None),
    Rule("priority", "currentPriority up to 1000 is spread over 0 to 90",
         lambda f, v: max(f.job.priority or 0, 1) * 90 // 1000,
         lambda f, v: f.job.priority is not None and f.job.priority <= 1000),
    Rule("priority", "currentPriority from 1000 to 10000 is spread over 90 to 100",
         lambda f, v: min(90 + ((f.job.priority or 0) - 1000) // 900, 100),
         lambda f, v: f.job.priority is not None and f.job.priority > 1000),
    Rule("priority", "the queue's priority", lambda f, v: f.site.priority, lambda f, v: f.site.priority is not None),
)  # fmt: skip

RUNTIME_ENVIRONMENT = add(
    "runtimeenvironment", "the queue's runtime_environment", lambda f, v: f.site.runtime_environment,
    lambda f, v: bool(f.site.runtime_environment),
)  # fmt: skip

WRAPPER_URL = Rule(
    "wrapper_url", "the normal wrapper", lambda f, v: f.setting("executable", "wrapperurl"), lambda f, v: not v
)
PILOT_URL = Rule(
    "pilot_url", "the queue's pilot_url", lambda f, v: f.queue.params["pilot_url"],
    lambda f, v: not v and bool(f.queue.params.get("pilot_url")),
)  # fmt: skip
EXECUTABLE = Rule("executable", "jobs are started by the wrapper", lambda f, v: WRAPPER)

QUEUE = add("arguments", "the queue's schedconfig name", lambda f, v: ("-q", f.queue.schedconfig))
LABEL = add("arguments", "the job's prodSourceLabel", lambda f, v: ("-j", f.job.label))
JOB_TYPE = add(
    "arguments", "label user or panda, or any other",
    lambda f, v: ("--job-type", "user" if f.job.is_user else "managed"),
)  # fmt: skip
RESOURCES = add("arguments", "the resource type", lambda f, v: ("--resource-type", f.draft.resource_type))
ALRB = add("arguments", "label rc_alrb", lambda f, v: ("-i", "ALRB"), lambda f, v: f.job.label == "rc_alrb")

SCHEDULER = (
    add("environment", "who schedules: the source of the job, or this tower", lambda f, v: {
        "PANDA_JSID": f.meta("schedulerid") or f.config.panda.schedulerid}),
    add("environment", "where the log will be", lambda f, v: {"GTAG": f.log_url}),
)  # fmt: skip

INPUTS = (
    add("inputs", "push queue: the job goes along", lambda f, v: (InputFile(JOB_FILE, content=f.job.encode()),),
        lambda f, v: f.queue.push),
    add("inputs", "the wrapper", lambda f, v: (InputFile(WRAPPER, f.draft.wrapper_url, executable=True),)),
)  # fmt: skip
ATTRIBUTES = add(
    "extra", "the queue's attributes", lambda f, v: {a.name: a.value for a in f.site.attribute},
    lambda f, v: bool(f.site.attribute),
)  # fmt: skip
