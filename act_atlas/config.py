"""aCTConfigATLAS.xml -> `AtlasConfig`: PanDA, CRIC, local settings of queues, executables, logs.

What is special at a single site is said here, in the ``rules`` of its queue, and never in code.
"""

from __future__ import annotations

import platform
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from act.xmlconfig import ConfigPath, Count, Seconds, Section, base_of, distinct, find, load_xml
from act_atlas.replicas.settings import Storages

ATLAS_FILE = "aCTConfigATLAS.xml"
ATLAS_VARIABLE = "ACTCONFIGATLAS"
QueueType = Literal["production", "analysis", "unified"]


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http(s) URL: '{value}'")
    parts.port  # noqa: B018  (raises ValueError if it is not a number)
    return value.rstrip("/")


def _url_or_path(value: str, info: ValidationInfo) -> str:
    """http(s) and file URLs as they are; anything else is a path."""
    if not value or value.startswith(("http://", "https://", "file://")):
        return value
    return str(base_of(info) / Path(value).expanduser())


HttpUrl = Annotated[str, AfterValidator(_http_url)]


class Panda(Section):
    """The PanDA server and how often it is spoken to.

    getjob_min_s and getjob_max_s bound how often a queue is asked for jobs; in between, queues that had none share
    getjob_per_s questions a second. retry_s: when an update that PanDA did not take is sent again.
    transferring_after_s: how long a CE stages out before PanDA hears of it (NorduGrid mode). final_grace_s: how long
    the pilot of a job that ended well has to tell PanDA so itself. archive_after_s: how long an ended job stays
    among the others. archive_days: how long it stays in the archive.
    role: the proxy that PanDA is spoken to with, and that jobs act with. analysis_role: that of users' jobs, where a
    proxy is configured for it.
    """

    server: HttpUrl = "https://pandaserver.cern.ch:25443"
    cache: HttpUrl = "http://pandaserver.cern.ch:25085"
    protocol: Literal["v1", "legacy"] = "v1"
    schedulerid: str = Field(default_factory=lambda: f"aCT-{platform.node()}", min_length=1)
    role: str = "production"
    analysis_role: str = "pilot"
    token_file: ConfigPath | None = None
    origin: str = "atlas.production"
    timeout_s: Seconds = 60
    heartbeat_s: float = Field(1800, gt=0, le=7000, allow_inf_nan=False)
    first_heartbeat_s: float = Field(600, gt=0, le=1700, allow_inf_nan=False)
    bulk: int = Field(100, ge=1, le=1000)
    stats_s: Seconds = 60
    getjob_min_s: Seconds = 2
    getjob_max_s: Seconds = 60
    getjob_per_s: float = Field(5, gt=0, allow_inf_nan=False)
    minjobs: int = Field(20, ge=0)
    waiting_fraction: float = Field(0.15, ge=0, le=10)
    retry_s: Seconds = 120
    transferring_after_s: Seconds = 600
    final_grace_s: Seconds = 600
    archive_after_s: Seconds = 86400
    archive_days: Count = 90

    @model_validator(mode="after")
    def _ordered(self) -> Panda:
        if self.getjob_min_s > self.getjob_max_s:
            raise ValueError("getjob_min_s must not be more than getjob_max_s")
        return self

    def role_of(self, *, analysis: bool, configured: Collection[str]) -> str:
        """The role whose proxy a job acts with. configured: all roles that there is a source of proxies for."""
        return self.analysis_role if analysis and self.analysis_role in configured else self.role


class Cric(Section):
    """Where facts of queues come from. ``url``: http(s) or file URL, or a path; empty: only the queues named here."""

    url: Annotated[str, AfterValidator(_url_or_path)] = "https://atlas-cric.cern.ch/api/atlas/pandaqueue/query/?json"
    interval_s: Seconds = 600
    timeout_s: Seconds = 120
    pilot_manager: str = "aCT"
    pilot_version: str | None = None


class EndpointOverride(Section):
    """A CE queue that a PanDA queue uses, instead of those in CRIC."""

    flavour: str = Field("arc", min_length=1)
    url: str = Field(min_length=1)
    queue: str = ""


class Attribute(Section):
    """An attribute that is put into the request as it is."""

    name: str = Field(min_length=1)
    value: str


def _input_url(value: str) -> str:
    parts = urlsplit(value)
    if not parts.scheme or (not parts.hostname and parts.scheme != "file") or "{name}" not in value:
        raise ValueError(f"not a URL with {{name}}, and {{scope}} if need be, in it: '{value}'")
    return value


class SiteRules(Section):
    """Exceptions from the conversion rules for the jobs of one queue; what is not given changes nothing.

    input_url: where the CE fetches input files itself (NorduGrid mode), with {scope} and {name} in it; default: Rucio.
    """

    walltime_from_job: bool = False
    walltime_factor: float | None = Field(None, gt=0, le=100)
    walltime_at_least_min: Count | None = None
    walltime_at_most_min: Count | None = None
    cputime_is_walltime: bool = False
    memory_factor: float | None = Field(None, gt=0, le=100)
    memory_mb_per_core: Count | None = None
    request_disk: bool = False
    priority: int | None = Field(None, ge=0, le=100)
    no_runtime_environments: bool = False
    runtime_environment: tuple[str, ...] = ()
    input_url: Annotated[str, AfterValidator(_input_url)] | None = None
    attribute: tuple[Attribute, ...] = ()


class QueueOverride(Section):
    """What the operator says of one PanDA queue, above what CRIC says; None: as in CRIC."""

    name: str = Field(min_length=1)
    status: str | None = None
    type: QueueType | None = None
    schedconfig: str | None = None
    corecount: Count | None = None
    maxwalltime_min: Count | None = None
    truepilot: bool | None = None
    push: bool | None = None
    maxjobs: int | None = Field(None, ge=0)
    max_waiting: int | None = Field(None, ge=0)
    endpoint: tuple[EndpointOverride, ...] = ()
    rules: SiteRules = SiteRules()


class Queues(Section):
    """Queues that need settings of their own."""

    queue: tuple[QueueOverride, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Queues:
        distinct("queue", (q.name for q in self.queue))
        return self

    def named(self, name: str) -> QueueOverride:
        """The settings of one queue; one that changes nothing if there are none."""
        return next((q for q in self.queue if q.name == name), QueueOverride(name=name))


class Executable(Section):
    """Where jobs get the wrapper and the pilot from: for normal jobs, release candidates (rc), development (dev)."""

    wrapperurl: str = ""
    wrapperurlrc: str = ""
    ptarurl: str = ""
    ptarurlrc: str = ""
    ptarurldev: str = ""


class Monitor(Section):
    """External monitoring of pilot factories."""

    apfmon: str = ""


class JobLog(Section):
    """Where logs of jobs are kept, and under which URL people see that directory."""

    dir: ConfigPath = Path("var/joblog")
    urlprefix: str = "http://localhost/jobs"


# What CEs say when they, and not the job, were at fault.
RESUBMIT = (
    "Job was lost", "Job submission to LRMS failed", "Failed extracting LRMS ID", "Job disappeared from SGE",
    "Job was cancelled", "Job is canceled by external request", "Internal error in uploader",
    "LRMS error: (127)", "LRMS error: (-4)", "LRMS error: (255)", "LRMS error: (1)", "LRMS error: (-1)",
    "LRMS error: (91)", "LRMS error: (257) Node fail", "Job missing from SLURM", "Submission: runtime script",
    "Job finished with non-zero exit code", "Job failed with exit code 1", "Job was killed by PBS",
    "Local submission client failed", "Failed initiating job submission to LRMS",
)  # fmt: skip


class AtlasErrors(Section):
    """When a job is tried again (NorduGrid mode only): one of the texts is in the CE's error, and its pilot did not
    report failure. max_attempts: how often it is tried in all; also where its outputs were not what was reported."""

    resubmit: tuple[str, ...] = RESUBMIT
    max_attempts: Count = 5


class AtlasConfig(Section):
    """The whole file."""

    panda: Panda = Panda()
    cric: Cric = Cric()
    queues: Queues = Queues()
    executable: Executable = Executable()
    monitor: Monitor = Monitor()
    joblog: JobLog = JobLog()
    storages: Storages = Storages()
    errors: AtlasErrors = AtlasErrors()


def load_atlas(path: Path | None = None) -> AtlasConfig:
    """Read ``path``, or the file found by the search order. Raises ConfigError."""
    return load_xml(path or find(ATLAS_FILE, ATLAS_VARIABLE), AtlasConfig)
