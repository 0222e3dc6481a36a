"""Conversion rules for ARC CEs. Times in minutes, memory in MB per core.

Source: what sites have been sent for years; exceptions for single sites are in the configuration.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

from act.errors import BadJobSpec
from act.model import InputFile, OutputFile
from act_atlas.conversion.rules import Facts, Rule, add

DAY_MIN = 24 * 60
DEFAULT_RAM_MB = 4000
WRAPPER = "runpilot2-wrapper.sh"
JOB_FILE = "pandaJobData.out"
HEARTBEAT = "heartbeat.json"
RUCIO = "rucio://rucio-lb-prod.cern.ch/replicas"
RUCIO_OPTIONS = (("rucioaccount", "pilot"), ("transferprotocol", "https"), ("httpgetpartial", "no"),
                 ("cache", "invariant"), ("accesslatency", "disk"))  # fmt: skip


def true_pilot(f: Facts, _: Any) -> bool:
    """The pilot moves the data and talks to PanDA."""
    return f.queue.truepilot


def nordugrid(f: Facts, _: Any) -> bool:
    """The CE moves the data, the tower talks to PanDA."""
    return not f.queue.truepilot


def _walltime_from_job(f: Facts) -> bool:
    return not f.queue.truepilot or f.site.walltime_from_job


def _rc_test(f: Facts) -> bool:
    return f.job.label.startswith("rc_test")


def _data(f: Facts, _: Any) -> tuple[InputFile, ...]:
    names, scopes = f.job.names("inFiles"), f.job.names("scopeIn")
    if len(names) != len(scopes):
        raise BadJobSpec(f"inFiles has {len(names)} entries, scopeIn {len(scopes)}")
    for name in (*names, *scopes):
        if not name or "/" in name or name in (".", ".."):
            raise BadJobSpec(f"field inFiles or scopeIn has '{name}', which is not a name")
    scope_of = dict(zip(names, scopes, strict=True))
    if f.site.input_url is None:
        return tuple(InputFile(n, f"{RUCIO}/{s}/{n}", options=RUCIO_OPTIONS) for n, s in scope_of.items())
    return tuple(InputFile(n, _input_url(f.site.input_url, s, n)) for n, s in scope_of.items())


def _input_url(template: str, scope: str, name: str) -> str:
    """A file's URL at a storage; quoted, as ARC takes what follows a colon for facts of the file."""
    filled = {"{scope}": quote(scope, safe=""), "{name}": quote(name, safe="")}
    return re.sub(r"\{scope\}|\{name\}", lambda found: filled[found[0]], template)


def _queue_data(f: Facts, _: Any) -> tuple[InputFile, ...]:
    url = f"{f.config.panda.cache}/cache/schedconfig/{f.queue.schedconfig}.all.json"
    return (InputFile("queuedata.json", url, options=(("cache", "check"),)),)


def _server(f: Facts, _: Any) -> tuple[str, ...]:
    parts = urlsplit(f.config.panda.server)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return ("--url", f"{parts.scheme}://{host}", "-p", str(parts.port or 25443))


SIZE = (
    Rule("name", "the job's jobName", lambda f, v: f.job.text("jobName", "pandajob")),
    Rule("count", "the job's coreCount, or 1", lambda f, v: f.job.cores),
    Rule("countpernode", "one core: not needed", lambda f, v: None, lambda f, v: f.draft.count == 1),
    Rule("countpernode", "several cores must be on one node", lambda f, v: f.draft.count,
         lambda f, v: f.draft.count > 1),
)  # fmt: skip

WALLTIME = (
    Rule("walltime_min", "true pilot: the queue's maxwalltime", lambda f, v: f.queue.maxwalltime_min,
         lambda f, v: not _walltime_from_job(f)),
    Rule("walltime_min", "the job's maxCpuCount", lambda f, v: (f.job.cpu_s or 0) // 60,
         lambda f, v: _walltime_from_job(f) and f.job.cpu_s not in (None, 600)),
    Rule("walltime_min", "a maxCpuCount of 600 means 24 hours", lambda f, v: DAY_MIN,
         lambda f, v: _walltime_from_job(f) and f.job.cpu_s == 600),
    Rule("walltime_min", "the job has no maxCpuCount: 2 days", lambda f, v: 2 * DAY_MIN,
         lambda f, v: _walltime_from_job(f) and f.job.cpu_s is None),
    Rule("walltime_min", "x 1.5 for slow worker nodes", lambda f, v: v * 3 // 2, lambda f, v: _walltime_from_job(f)),
    Rule("walltime_min", "the queue's walltime_factor", lambda f, v: int(v * (f.site.walltime_factor or 1)),
         lambda f, v: f.site.walltime_factor is not None and _walltime_from_job(f)),
    Rule("walltime_min", "x 2 for more than 15 cores", lambda f, v: v * 2,
         lambda f, v: _walltime_from_job(f) and f.draft.count > 15),
    Rule("walltime_min", "an hour at least", lambda f, v: 60, lambda f, v: _walltime_from_job(f) and v < 60),
    Rule("walltime_min", "not above the queue's maxwalltime", lambda f, v: f.queue.maxwalltime_min,
         lambda f, v: v > f.queue.maxwalltime_min),
    Rule("walltime_min", "the queue's walltime_at_least_min", lambda f, v: f.site.walltime_at_least_min,
         lambda f, v: v < (f.site.walltime_at_least_min or 0)),
    Rule("walltime_min", "the queue's walltime_at_most_min", lambda f, v: f.site.walltime_at_most_min,
         lambda f, v: v > (f.site.walltime_at_most_min or v)),
    Rule("cputime_min", "all cores for the whole walltime", lambda f, v: f.draft.count * f.draft.walltime_min),
    Rule("cputime_min", "the queue's cputime_is_walltime", lambda f, v: f.draft.walltime_min,
         lambda f, v: f.site.cputime_is_walltime),
)  # fmt: skip

MEMORY = (
    Rule("memory_mb_per_core", "the job's minRamCount", lambda f, v: f.job.ram_mb,
         lambda f, v: f.job.ram_mb is not None),
    Rule("memory_mb_per_core", "no minRamCount: 2000 MB for a user's job", lambda f, v: 2000,
         lambda f, v: f.job.ram_mb is None and f.job.is_user),
    Rule("memory_mb_per_core", "no minRamCount: 4000 MB", lambda f, v: DEFAULT_RAM_MB,
         lambda f, v: f.job.ram_mb is None and not f.job.is_user),
    Rule("memory_mb_per_core", "1000 MB at least", lambda f, v: 1000, lambda f, v: v < 1000),
    Rule("memory_mb_per_core", "rounded up to 500 MB", lambda f, v: -(-v // 500) * 500, lambda f, v: v % 500),
    Rule("memory_mb_per_core", "4000 MB, the default, means 2000 MB for each of several cores",
         lambda f, v: 2000 * f.draft.count, lambda f, v: v == DEFAULT_RAM_MB and f.draft.count > 1),
    Rule("memory_mb_per_core", "shared by the cores", lambda f, v: v // f.draft.count,
         lambda f, v: f.draft.count > 1),
    Rule("memory_mb_per_core", "250 MB a core at least", lambda f, v: 250, lambda f, v: v < 250),
    Rule("memory_mb_per_core", "2000 MB at least for a single core", lambda f, v: 2000,
         lambda f, v: f.draft.count == 1 and v < 2000),
    Rule("resource_type", "the job's resource type", lambda f, v: f.job.resource_type,
         lambda f, v: bool(f.job.resource_type)),
    Rule("resource_type", "by cores", lambda f, v: "MCORE" if f.draft.count > 1 else "SCORE",
         lambda f, v: not f.job.resource_type),
    Rule("resource_type", "more than 2000 MB a core", lambda f, v: f"{v}_HIMEM",
         lambda f, v: not f.job.resource_type and f.draft.memory_mb_per_core > 2000),
    Rule("memory_mb_per_core", "the queue's memory_factor", lambda f, v: int(v * (f.site.memory_factor or 1)),
         lambda f, v: f.site.memory_factor is not None and f.draft.count == 1),
    Rule("memory_mb_per_core", "the queue's memory_mb_per_core", lambda f, v: f.site.memory_mb_per_core,
         lambda f, v: f.site.memory_mb_per_core is not None),
    Rule("disk_mb", "the job's maxDiskCount, or 500 MB, and 2000 MB for the pilot",
         lambda f, v: (f.job.disk_mb or 500) + 2000, lambda f, v: f.site.request_disk),
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

RUNTIME_ENVIRONMENTS = (
    add("runtimeenvironment", "true pilot: needs a proxy", lambda f, v: ("ENV/PROXY",), true_pilot),
    add("runtimeenvironment", "software is set up by the site", lambda f, v: ("APPS/HEP/ATLAS-SITE",), nordugrid),
    add("runtimeenvironment", "a user's job needs a proxy", lambda f, v: ("ENV/PROXY",),
        lambda f, v: not f.queue.truepilot and f.job.is_user),
    Rule("runtimeenvironment", "the queue's no_runtime_environments", lambda f, v: (),
         lambda f, v: f.site.no_runtime_environments),
    add("runtimeenvironment", "the queue's runtime_environment", lambda f, v: f.site.runtime_environment,
        lambda f, v: bool(f.site.runtime_environment)),
)  # fmt: skip

SOFTWARE = (
    Rule("wrapper_url", "a release candidate's wrapper, as the label begins with rc_",
         lambda f, v: f.setting("executable", "wrapperurlrc"), lambda f, v: f.job.label.startswith("rc_")),
    Rule("wrapper_url", "the normal wrapper", lambda f, v: f.setting("executable", "wrapperurl"),
         lambda f, v: not v),
    Rule("pilot_url", "a release candidate's pilot, for label rc_test",
         lambda f, v: f.setting("executable", "ptarurlrc"), lambda f, v: _rc_test(f)),
    Rule("pilot_url", "the development pilot, for label ptest", lambda f, v: f.setting("executable", "ptarurldev"),
         lambda f, v: f.job.label == "ptest"),
    Rule("pilot_url", "the queue's pilot_url", lambda f, v: f.queue.params["pilot_url"],
         lambda f, v: not v and bool(f.queue.params.get("pilot_url"))),
    Rule("pilot_url", "the normal pilot", lambda f, v: f.setting("executable", "ptarurl"),
         lambda f, v: not v and not f.queue.truepilot),
    Rule("executable", "jobs are started by the wrapper", lambda f, v: WRAPPER),
)  # fmt: skip

ARGUMENTS = (
    add("arguments", "the queue's schedconfig name", lambda f, v: ("-q", f.queue.schedconfig)),
    add("arguments", "the job's prodSourceLabel", lambda f, v: ("-j", f.job.label)),
    add("arguments", "always", lambda f, v: ("--pilot-user", "ATLAS", "--harvester-submit-mode", "PUSH", "-w",
                                             "generic")),
    add("arguments", "label user or panda, or any other", lambda f, v: (
        "--job-type", "user" if f.job.is_user else "managed")),
    add("arguments", "the resource type", lambda f, v: ("--resource-type", f.draft.resource_type)),
    add("arguments", "the queue's pilot_version", lambda f, v: ("--pilotversion", f.queue.pilot_version),
        lambda f, v: bool(f.queue.pilot_version)),
    add("arguments", "label rc_alrb", lambda f, v: ("-i", "ALRB"), lambda f, v: f.job.label == "rc_alrb"),
    add("arguments", "label rc_test", lambda f, v: ("-d", "-i", "RC"), lambda f, v: _rc_test(f)),
    add("arguments", "true pilot: talks to PanDA itself", _server, true_pilot),
    add("arguments", "true pilot: a pilot other than the wrapper's own",
        lambda f, v: ("--piloturl", f.draft.pilot_url), lambda f, v: f.queue.truepilot and bool(f.draft.pilot_url)),
    add("arguments", "NorduGrid mode: the pilot is brought along and talks to nobody",
        lambda f, v: ("-z", "-t", "--piloturl", "local", "--mute"), nordugrid),
    add("arguments", "the queue's pilot_args", lambda f, v: tuple(f.queue.params["pilot_args"].split()),
        lambda f, v: bool(f.queue.params.get("pilot_args"))),
)  # fmt: skip

ENVIRONMENT = (
    add("environment", "who schedules: the source of the job, or this tower", lambda f, v: {
        "PANDA_JSID": f.meta("schedulerid") or f.config.panda.schedulerid}),
    add("environment", "where the log will be", lambda f, v: {"GTAG": f.log_url}),
    add("environment", "true pilot: the id of the job here", lambda f, v: {"APFCID": str(f.rowid)},
        lambda f, v: f.queue.truepilot and f.rowid is not None),
    add("environment", "true pilot: the factory, and the queue", lambda f, v: {
        "APFFID": f.meta("harvesterid") or f.config.panda.schedulerid, "APFMON": f.config.monitor.apfmon,
        "FACTORYQUEUE": f.queue.name}, true_pilot),
    add("environment", "true pilot: the Harvester it came from", lambda f, v: {"HARVESTER_ID": f.meta("harvesterid")},
        lambda f, v: f.queue.truepilot and bool(f.meta("harvesterid"))),
    add("environment", "true pilot: the worker of that Harvester", lambda f, v: {
        "HARVESTER_WORKER_ID": f.meta("harvesterworkerid")},
        lambda f, v: f.queue.truepilot and bool(f.meta("harvesterworkerid"))),
    add("environment", "the CE ends jobs, the pilot need not", lambda f, v: {"PILOT_NOKILL": "YES"}),
)  # fmt: skip

FILES = (
    add("inputs", "push queue: the job goes along", lambda f, v: (InputFile(JOB_FILE, content=f.job.encode()),),
        lambda f, v: f.queue.push),
    add("inputs", "the wrapper", lambda f, v: (InputFile(WRAPPER, f.draft.wrapper_url, executable=True),)),
    add("inputs", "NorduGrid mode: the pilot", lambda f, v: (
        InputFile("pilot3.tar.gz", f.draft.pilot_url),), nordugrid),
    add("inputs", "NorduGrid mode: facts of the queue for the pilot", _queue_data, nordugrid),
    add("inputs", "NorduGrid mode: the CE fetches the data", _data,
        lambda f, v: nordugrid(f, v) and f.site.input_url is None),
    add("inputs", "NorduGrid mode: the CE fetches the data, from the queue's input_url", _data,
        lambda f, v: nordugrid(f, v) and f.site.input_url is not None),
    add("outputs", "true pilot: stores them itself", lambda f, v: (), true_pilot),
    add("outputs", "NorduGrid mode: the pilot's report, and a list of outputs that it writes", lambda f, v: (
        OutputFile(HEARTBEAT), OutputFile("@output.list")), nordugrid),
    Rule("stdout", "the job's logFile without .tgz", lambda f, v: (
        f.job.file_name("logFile").replace(".tgz", "") or "LOGFILE")),
    Rule("join", "one log for stdout and stderr", lambda f, v: "yes"),
    Rule("gmlog", "where the CE writes about the job", lambda f, v: "gmlog"),
    Rule("rerun", "failed staging may be repeated twice", lambda f, v: 2),
    add("fetch", "the CE's log and the job's", lambda f, v: ("diagnose=errors", f.draft.stdout)),
    add("fetch", "NorduGrid mode: the pilot's report", lambda f, v: (HEARTBEAT,), nordugrid),
    add("extra", "the queue's attributes", lambda f, v: {a.name: a.value for a in f.site.attribute},
        lambda f, v: bool(f.site.attribute)),
)  # fmt: skip

RULES = (*SIZE, *WALLTIME, *MEMORY, *PRIORITY, *RUNTIME_ENVIRONMENTS, *SOFTWARE, *ARGUMENTS, *ENVIRONMENT, *FILES)
