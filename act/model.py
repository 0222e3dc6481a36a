"""Frozen values that pass between the layers. Units are in the names; times are seconds since the epoch, UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from act.states import Event


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file the job starts with. The tower itself brings it, or else the CE stages it from ``source``.

    content: text that the tower brings. stored: a file of the store that it brings, of ``size`` bytes.
    source: a URL. One without a scheme is a path of whoever wrote the description: who takes that in must replace it.
    options: URL options of the source in ARC's sense, e.g. {"cache": "check"}.
    """

    name: str
    source: str = ""
    content: str | None = None
    stored: str = ""
    size: int = 0
    executable: bool = False
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file the job leaves. Empty destination: it stays at the CE until fetched. ``@name``: a list made by the job."""

    name: str
    destination: str = ""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What one job needs, in no CE's language. A source makes it; a CE plugin renders it.

    cores on one node if ``single_node``; memory_mb_total in MB over all cores; walltime_s and cputime_s in seconds;
    priority 0..100 or None; reruns: how often the CE may repeat failed staging; stdin: name of an input file.
    fetch: the files of the session directory (or ``diagnose=<name>`` for files of the CE about the job) that the tower
    brings back; with "/" at its end a directory and all below it, "/" for all there is. keep: they are the
    application's to remove from the store; otherwise they go when the CE forgets the job.
    """

    name: str
    executable: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    cores: int = 1
    single_node: bool = True
    memory_mb_total: int = 1000
    walltime_s: int = 3600
    cputime_s: int | None = None
    disk_mb: int | None = None
    priority: int | None = None
    runtime_environments: tuple[str, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    outputs: tuple[OutputFile, ...] = ()
    stdin: str | None = None
    stdout: str = "stdout.txt"
    stderr: str | None = None  # None: joined with stdout
    log_dir: str = "gmlog"
    reruns: int = 0
    fetch: tuple[str, ...] = ()
    keep: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)  # attributes of one flavour, from configuration


@dataclass(frozen=True, slots=True)
class Submission:
    """One try to create an attempt at a CE. The token is unique for ever and must be found in the CE's job list."""

    cejob_id: int
    token: str
    spec: JobSpec
    queue: str


@dataclass(frozen=True, slots=True)
class Created:
    """The CE made an inert job and gave this id."""

    ce_job_id: str


@dataclass(frozen=True, slots=True)
class CEStatus:
    """What a CE says of one job it knows.

    event: what that means for the attempt; None while it says nothing new (e.g. being killed). ce_state: its own
    word. name: the job's name as the CE knows it (ends with the token), "" where a poll does not tell. armed: False
    only when it is certain that the job never ran because its arming file never came, None when it still waits and
    may or may not have been armed. wall_s and cpu_s: used so far, None if not told.
    """

    event: Event | None
    ce_state: str
    name: str = ""
    exit_code: int | None = None
    error: str = ""
    node: str = ""
    wall_s: int | None = None
    cpu_s: int | None = None
    memory_mb: int | None = None
    armed: bool | None = True


@dataclass(frozen=True, slots=True)
class PublishedLogs:
    """What its application has published of a job. root: of the store; names: what each is called -> its name there.

    Not all need be there.
    """

    root: str
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CEAddress:
    """Where a CE is and how it is spoken to. All limits in seconds unless named otherwise.

    url: e.g. https://ce.example.org:443/arex. submit_point: the service that jobs go through, for CE types that have
    one; "": straight to the CE. work_dir: for files that a CE type keeps while it has a job.
    connect_s and read_s bound single waits, total_s one call, transfer_s one file.
    """

    ce_id: int
    flavour: str
    url: str
    ca_dir: Path
    submit_point: str = ""
    work_dir: Path = Path()
    connect_s: float = 10.0
    read_s: float = 60.0
    total_s: float = 120.0
    transfer_s: float = 300.0
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A credential the tower acts with: an RFC 3820 proxy with its key and chain, PEM.

    token: a bearer token (JWT) that the CE is spoken to with instead; the proxy is then only what jobs are given.
    """

    proxy_id: int
    role: str
    identity: str
    pem: bytes = field(repr=False)
    expires: float = 0.0
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on rows: who holds it, and until when by the holder's monotonic clock."""

    holder: str
    until: float


@dataclass(frozen=True, slots=True)
class CEJob:
    """One row of cejobs as daemons see it."""

    id: int
    app: str
    appjob_id: int
    flavour: str
    state: str
    version: int
    ce_id: int | None
    cequeue_id: int | None
    proxy_id: int
    jobspec_id: int
    ce_job_id: str | None
    token: str | None
    submission: int
    doubts: int
    wish: str | None
    since: float
    missing: int
    delegation_id: int | None
    values: Mapping[str, Any] = field(default_factory=dict)
