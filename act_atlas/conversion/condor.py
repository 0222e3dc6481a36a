"""Conversion rules for HTCondor-CEs: true pilots only. Times in seconds, memory in MB of the whole job.

Source: what sites have been sent for years; exceptions for single sites are in the configuration.
"""

from __future__ import annotations

from act_atlas.conversion import common
from act_atlas.conversion.common import DEFAULT_RAM_MB
from act_atlas.conversion.rules import Rule, add

DAY_S = 24 * 3600
HIGH_MEMORY_MB = 2000

WALLTIME = (
    Rule("walltime_s", "the job's maxCpuCount", lambda f, v: f.job.cpu_s, lambda f, v: f.job.cpu_s is not None),
    Rule("walltime_s", "the job has no maxCpuCount: 2 days", lambda f, v: 2 * DAY_S,
         lambda f, v: f.job.cpu_s is None),
    Rule("walltime_s", "x 2 for slow worker nodes", lambda f, v: v * 2),
    Rule("walltime_s", "the queue's walltime_factor", lambda f, v: int(v * (f.site.walltime_factor or 1)),
         lambda f, v: f.site.walltime_factor is not None),
    Rule("walltime_s", "an hour at least", lambda f, v: 3600, lambda f, v: v < 3600),
    Rule("walltime_s", "not above the queue's maxwalltime", lambda f, v: f.queue.maxwalltime_min * 60,
         lambda f, v: f.queue.walltime_told and v > f.queue.maxwalltime_min * 60),
    Rule("walltime_s", "the queue has no maxwalltime: 4 days at most", lambda f, v: 4 * DAY_S,
         lambda f, v: not f.queue.walltime_told and v > 4 * DAY_S),
    Rule("walltime_s", "the queue's walltime_at_least_min", lambda f, v: (f.site.walltime_at_least_min or 0) * 60,
         lambda f, v: v < (f.site.walltime_at_least_min or 0) * 60),
    Rule("walltime_s", "the queue's walltime_at_most_min", lambda f, v: (f.site.walltime_at_most_min or 0) * 60,
         lambda f, v: f.site.walltime_at_most_min is not None and v > f.site.walltime_at_most_min * 60),
)  # fmt: skip

MEMORY = (
    Rule("memory_mb_total", "the job's minRamCount", lambda f, v: f.job.ram_mb,
         lambda f, v: f.job.ram_mb is not None),
    Rule("memory_mb_total", "no minRamCount: 4000 MB", lambda f, v: DEFAULT_RAM_MB,
         lambda f, v: f.job.ram_mb is None),
    *common.RESOURCE_TYPE,
    Rule("resource_type", "more than 2000 MB", lambda f, v: f"{v}_HIMEM",
         lambda f, v: not f.job.resource_type and f.draft.memory_mb_total > HIGH_MEMORY_MB),
    Rule("memory_mb_total", "the queue's memory_factor", lambda f, v: int(v * (f.site.memory_factor or 1)),
         lambda f, v: f.site.memory_factor is not None),
    Rule("memory_mb_total", "500 MB at least", lambda f, v: 500, lambda f, v: v < 500),
    Rule("memory_mb_total", "rounded up to 500 MB", lambda f, v: -(-v // 500) * 500, lambda f, v: v % 500),
    Rule("memory_mb_total", "the queue's memory_mb_per_core",
         lambda f, v: (f.site.memory_mb_per_core or 0) * f.draft.count,
         lambda f, v: f.site.memory_mb_per_core is not None),
    common.DISK,
)  # fmt: skip

SOFTWARE = (common.WRAPPER_URL, common.PILOT_URL, common.EXECUTABLE)

ARGUMENTS = (
    common.QUEUE,
    add("arguments", "the queue's schedconfig name, as resource", lambda f, v: ("-r", f.queue.schedconfig)),
    add("arguments", "the queue's name, as site", lambda f, v: ("-s", f.queue.name)),
    add("arguments", "always", lambda f, v: ("-d",)),
    common.LABEL,
    add("arguments", "always", lambda f, v: ("--pilot-user", "ATLAS", "-w", "generic")),
    common.JOB_TYPE,
    common.RESOURCES,
    add("arguments", "the pilot talks to PanDA itself", common.server),
    common.ALRB,
    add("arguments", "label rc_test", lambda f, v: ("-i", "RC"), common.rc_test),
    add("arguments", "the queue's python_version", lambda f, v: ("--pythonversion", "3"),
        lambda f, v: f.queue.python_version.startswith("3")),
    add("arguments", "a pilot other than the wrapper's own", common.pilot_url, lambda f, v: bool(f.draft.pilot_url)),
    add("arguments", "the queue's pilot_version", common.pilot_version,
        lambda f, v: not f.draft.pilot_url and bool(f.queue.pilot_version)),
)  # fmt: skip

ENVIRONMENT = (
    *common.SCHEDULER,
    add("environment", "the id of the job here", common.row_id, lambda f, v: f.rowid is not None),
    add("environment", "the factory, and the queue", common.factory),
)

FILES = (
    *common.INPUTS,
    Rule("stdout", "by the job's PandaID", lambda f, v: f"{f.job.panda_id}.out"),
    Rule("stderr", "by the job's PandaID", lambda f, v: f"{f.job.panda_id}.err"),
    add("fetch", "HTCondor's log and the job's", lambda f, v: ("diagnose=log", f.draft.stdout, f"{f.draft.stderr}")),
    common.ATTRIBUTES,
)

RULES = (*common.SIZE, *WALLTIME, *MEMORY, *common.PRIORITY, common.RUNTIME_ENVIRONMENT, *SOFTWARE, *ARGUMENTS,
         *ENVIRONMENT, *FILES)  # fmt: skip
