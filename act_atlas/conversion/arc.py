"""Conversion rules for ARC CEs. Times in minutes, memory in MB per core.

Source: what sites have been sent for years; exceptions for single sites are in the configuration.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from act.errors import BadJobSpec
from act.model import InputFile, OutputFile
from act_atlas.conversion import common
from act_atlas.conversion.common import DEFAULT_RAM_MB
from act_atlas.conversion.rules import Facts, Rule, add

DAY_MIN = 24 * 60
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


SIZE = (
    *common.SIZE,
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
    *common.RESOURCE_TYPE,
    Rule("resource_type", "more than 2000 MB a core", lambda f, v: f"{v}_HIMEM",
         lambda f, v: not f.job.resource_type and f.draft.memory_mb_per_core > 2000),
    Rule("memory_mb_per_core", "the queue's memory_factor", lambda f, v: int(v * (f.site.memory_factor or 1)),
         lambda f, v: f.site.memory_factor is not None and f.draft.count == 1),
    Rule("memory_mb_per_core", "the queue's memory_mb_per_core", lambda f, v: f.site.memory_mb_per_core,
         lambda f, v: f.site.memory_mb_per_core is not None),
    common.DISK,
)  # fmt: skip

RUNTIME_ENVIRONMENTS = (
    add("runtimeenvironment", "true pilot: needs a proxy", lambda f, v: ("ENV/PROXY",), true_pilot),
    add("runtimeenvironment", "software is set up by the site", lambda f, v: ("APPS/HEP/ATLAS-SITE",), nordugrid),
    add("runtimeenvironment", "a user's job needs a proxy", lambda f, v: ("ENV/PROXY",),
        lambda f, v: not f.queue.truepilot and f.job.is_user),
    Rule("runtimeenvironment", "the queue's no_runtime_environments", lambda f, v: (),
         lambda f, v: f.site.no_runtime_environments),
    common.RUNTIME_ENVIRONMENT,
)  # fmt: skip

SOFTWARE = (
    Rule("wrapper_url", "a release candidate's wrapper, as the label begins with rc_",
         lambda f, v: f.setting("executable", "wrapperurlrc"), lambda f, v: f.job.label.startswith("rc_")),
    common.WRAPPER_URL,
    Rule("pilot_url", "a release candidate's pilot, for label rc_test",
         lambda f, v: f.setting("executable", "ptarurlrc"), common.rc_test),
    Rule("pilot_url", "the development pilot, for label ptest", lambda f, v: f.setting("executable", "ptarurldev"),
         lambda f, v: f.job.label == "ptest"),
    common.PILOT_URL,
    Rule("pilot_url", "the normal pilot", lambda f, v: f.setting("executable", "ptarurl"),
         lambda f, v: not v and not f.queue.truepilot),
    common.EXECUTABLE,
)  # fmt: skip

ARGUMENTS = (
    common.QUEUE,
    common.LABEL,
    add("arguments", "always", lambda f, v: ("--pilot-user", "ATLAS", "--harvester-submit-mode", "PUSH", "-w",
                                             "generic")),
    common.JOB_TYPE,
    common.RESOURCES,
    add("arguments", "the queue's pilot_version", common.pilot_version, lambda f, v: bool(f.queue.pilot_version)),
    common.ALRB,
    add("arguments", "label rc_test", lambda f, v: ("-d", "-i", "RC"), common.rc_test),
    add("arguments", "true pilot: talks to PanDA itself", common.server, true_pilot),
    add("arguments", "true pilot: a pilot other than the wrapper's own",
        common.pilot_url, lambda f, v: f.queue.truepilot and bool(f.draft.pilot_url)),
    add("arguments", "NorduGrid mode: the pilot is brought along and talks to nobody",
        lambda f, v: ("-z", "-t", "--piloturl", "local", "--mute"), nordugrid),
    add("arguments", "the queue's pilot_args", lambda f, v: tuple(f.queue.params["pilot_args"].split()),
        lambda f, v: bool(f.queue.params.get("pilot_args"))),
)  # fmt: skip

ENVIRONMENT = (
    *common.SCHEDULER,
    add("environment", "true pilot: the id of the job here", common.row_id,
        lambda f, v: f.queue.truepilot and f.rowid is not None),
    add("environment", "true pilot: the factory, and the queue", common.factory, true_pilot),
    add("environment", "true pilot: the Harvester it came from", lambda f, v: {"HARVESTER_ID": f.meta("harvesterid")},
        lambda f, v: f.queue.truepilot and bool(f.meta("harvesterid"))),
    add("environment", "true pilot: the worker of that Harvester", lambda f, v: {
        "HARVESTER_WORKER_ID": f.meta("harvesterworkerid")},
        lambda f, v: f.queue.truepilot and bool(f.meta("harvesterworkerid"))),
    add("environment", "the CE ends jobs, the pilot need not", lambda f, v: {"PILOT_NOKILL": "YES"}),
)  # fmt: skip

FILES = (
    *common.INPUTS,
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
    common.ATTRIBUTES,
)  # fmt: skip

RULES = (*SIZE, *WALLTIME, *MEMORY, *common.PRIORITY, *RUNTIME_ENVIRONMENTS, *SOFTWARE, *ARGUMENTS, *ENVIRONMENT,
         *FILES)  # fmt: skip
