"""What a PanDA client promises, whatever protocol it speaks, and the values that pass through it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from act.errors import SourceUnreachable
from act_atlas.panda.jobs import AcquiredJob, MalformedJob
from act_atlas.panda.updates import JobUpdate

BULK = 100  # updates in one call; what other clients of the server send
ACQUIRE_TIMEOUT_S = 60  # the server hands out jobs only during the first timeout-10 seconds
MAX_DIGITS = 100
STATUS_OK, STATUS_NO_JOBS, STATUS_INVALID = 0, 20, 50
CREDENTIAL_STATUSES = frozenset({60, 70, 80, 90})

QueueStats = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class PandaServer:
    """Where PanDA is and how it is spoken to.

    url: e.g. https://pandaserver.example.org:25443. protocol: v1 or legacy. Either ``proxy_pem`` (certificate, key,
    chain) or ``token`` with ``origin`` (<vo>.<role>; the server refuses a token without it). Seconds: connect_s and
    read_s bound single waits, total_s a whole call.
    """

    url: str
    ca_dir: Path
    protocol: str = "v1"
    proxy_pem: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    origin: str = ""
    connect_s: float = 10.0
    read_s: float = 60.0
    total_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Acquired:
    """The jobs of one answer, and what in it was no job; one bad job does not cost the others."""

    jobs: tuple[AcquiredJob, ...] = ()
    malformed: tuple[MalformedJob, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """PanDA's answer to one update.

    accepted: PanDA has taken note. Otherwise ``error`` says why, and ``retry`` whether the same update may pass later.
    commands: what PanDA wants done; several may come at once, so look with ``in``.
    """

    accepted: bool
    commands: frozenset[str] = frozenset()
    error: str = ""
    retry: bool = False


@dataclass(frozen=True, slots=True)
class JobStatus:
    """PanDA's word on a job."""

    status: str
    attempt_nr: int


class PandaClient(Protocol):
    """One PanDA server seen with one credential; may be shared by threads.

    Every call ends within ``PandaServer.total_s`` and raises SourceUnreachable (``sent`` False: the server certainly
    never saw it) or CredentialError; what concerns one job only is in the answer.
    """

    def fetch_jobs(
        self, queue: str, n: int, *, label: str | None = None, scheduler_id: str, node: str,
        resource_type: str | None = None,
    ) -> bytes:  # fmt: skip
        """Acquire at most n jobs of a PanDA queue. The answer as it came: once it is here the jobs are ours.

        label: prodSourceLabel, None for production. node: who asks, kept by PanDA as the job's host.
        """

    def parse_jobs(self, answer: bytes) -> Acquired:
        """What an answer of `fetch_jobs` holds. No I/O. An unknown queue looks like one without jobs."""

    def update_bulk(self, updates: Sequence[JobUpdate]) -> list[UpdateResult]:
        """Send updates, BULK a call; results in order. After an exception any of them may have been applied."""

    def job_status(self, pandaids: Sequence[int]) -> dict[int, JobStatus | None]:
        """What PanDA thinks of each job; None for one it does not know. Asks BULK a call."""

    def queue_stats(self) -> QueueStats:
        """Active jobs by queue and status, up to a minute old."""

    def is_alive(self) -> None:
        """Returns if the server answers."""

    def ahead_s(self) -> float | None:
        """By how much its clock was ahead of ours in its last answer; None: there was none, or it did not say."""

    def close(self) -> None:
        """Give back connections."""


def may_hold_jobs(answer: bytes) -> bool:
    """Whether an answer of `fetch_jobs` is worth keeping: False only if no job can be in it."""
    return b"PandaID" in answer


def command_set(command: object) -> frozenset[str]:
    """The commands in an answer; PanDA joins them by commas and says "NULL" for none."""
    words = command.split(",") if isinstance(command, str) else []
    return frozenset(word.strip() for word in words) - {"", "NULL", "None"}


def read_json(what: str, answer: bytes) -> Any:
    """The value of a JSON answer. A number too long to be one stays text, so that it spoils only its own job."""
    try:
        return json.loads(answer, parse_int=lambda digits: int(digits) if len(digits) < MAX_DIGITS else digits)
    except (ValueError, RecursionError) as e:
        raise SourceUnreachable(f"{what}: answer is not JSON: {answer[:200]!r}") from e


def chunks(items: Sequence[JobUpdate]) -> list[Sequence[JobUpdate]]:
    """The items in pieces of at most BULK."""
    return [items[i : i + BULK] for i in range(0, len(items), BULK)]


def sum_leaves(tree: Mapping[str, object]) -> dict[str, int]:
    """Jobs by status of a nested count whose innermost keys are statuses."""
    total: dict[str, int] = {}
    for key, value in tree.items():
        counts = sum_leaves(value) if isinstance(value, Mapping) else {key: value} if isinstance(value, int) else {}
        for status, n in counts.items():
            total[status] = total.get(status, 0) + n
    return total
