"""What users see of their jobs. Times are seconds since the epoch, UTC; sizes are in bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

from act.db.engine import AnyRow
from act.db.results import ResultFile
from act.errors import JobError

__all__ = [
    "Begun",
    "Changed",
    "Confirmed",
    "Filter",
    "Happening",
    "JobDetail",
    "JobNotFound",
    "JobRow",
    "Live",
    "NewJob",
    "Place",
    "QuotaExceeded",
    "ResultFile",
    "StoredFile",
    "Submitted",
    "TooLarge",
    "Usage",
    "WrongState",
]


class JobNotFound(JobError):
    """The caller has no such job."""


class QuotaExceeded(JobError):
    """The caller would have more in the tower than is allowed."""


class TooLarge(QuotaExceeded):
    """A file is larger than any may be."""


class WrongState(JobError):
    """The job is not, or no longer, in a state for this."""


@dataclass(frozen=True, slots=True)
class Place:
    """A CE queue that the caller may choose. location: https://host:port/queue; status: online or offline."""

    name: str
    location: str
    flavour: str
    queue: str
    url: str
    status: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the caller has in the tower, and may have. mb: uploaded files and results together, MB (10^6 bytes)."""

    jobs: int
    files: int
    mb: float
    max_jobs: int
    max_files: int
    max_mb: int
    max_file_mb: int


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to submit. ces: names or locations, none: all that the caller may use. inputs: names of the files that
    will be uploaded for it; none: it is confirmed at once."""

    description: str
    language: str
    ces: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that waits for its description."""

    id: int


@dataclass(frozen=True, slots=True)
class Submitted:
    """state: ``begun`` if files are to come, else what it shows as by now. name: from the description."""

    id: int
    state: str
    name: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A job that the tower works on. state: what it shows as by now."""

    id: int
    state: str
    name: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An uploaded file."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs: all conditions hold. ids: none means any; name: a part of it, literally; states: as shown, and
    ``begun`` for jobs whose submission is under way, which are only found if that or their id is said."""

    ids: tuple[int, ...] = ()
    name: str = ""
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job with its current attempt, in a few words.

    shown: tosubmit quarantined submitting submitted holding running finishing finished done failed tofetch donefailed
    tocancel cancelling cancelled torerun lost; ``begun`` while its submission is under way. state: that of the job's
    own machine. stdout, stderr: names of these files, stderr "" where it is joined with stdout. error: what went wrong,
    "" if nothing. attempt_id: None while there is no attempt (any more), and then all that follows is None, too.
    queue: at the CE. wall_s, cpu_s: used so far.
    """

    id: int
    name: str
    state: str
    shown: str
    created: float
    modified: float
    ces: Sequence[str]
    flavour: str
    stdout: str
    stderr: str
    error: str
    attempts: int
    attempt_id: int | None
    attempt_state: str | None
    attempt_created: float | None
    attempt_since: float | None
    ce_url: str | None
    queue: str | None
    ce_job_id: str | None
    ce_state: str | None
    exit_code: int | None
    node: str | None
    wall_s: int | None
    cpu_s: int | None
    memory_mb: int | None


@dataclass(frozen=True, slots=True)
class Happening:
    """A step of a job or of one of its attempts. of: ``job`` or ``attempt <number>``; who: a daemon, ``user``, ..."""

    at: float
    of: str
    source: str
    event: str
    target: str
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class JobDetail:
    """All about one job. inputs: uploaded files; results: files of its current attempt that can be had.

    history: of the job and its attempts, in order of time. attempts: the facts of all, the current one last.
    """

    row: JobRow
    description: str
    language: str
    history: Sequence[Happening]
    inputs: Sequence[StoredFile]
    results: Sequence[ResultFile]
    attempts: Sequence[AnyRow]


@dataclass(frozen=True, slots=True)
class Changed:
    """What came of a wish for one job. shown_before: what it showed as; refused: why nothing was done, "" if it was."""

    id: int
    attempt_id: int | None
    shown_before: str
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Live:
    """A file of a job that may still run. shown: what the job shows as. open: gives what is there by now, None while
    nothing is; size: of that. final: the file will not change, or appear, any more."""

    shown: str
    size: int
    open: Callable[[], AbstractContextManager[BinaryIO]] | None
    final: bool
