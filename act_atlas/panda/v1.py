"""PanDA's interface of today: JSON over /api/v1/<module>/<method>, every answer in an envelope.

An answer can fail on three levels: HTTP or transport, the envelope of the call, the envelope of one update in a bulk.
``success`` alone proves nothing: a database failure comes with success=true and data.StatusCode=30.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from act.errors import CredentialError, SourceUnreachable
from act_atlas.panda.client import (
    ACQUIRE_TIMEOUT_S,
    BULK,
    CREDENTIAL_STATUSES,
    STATUS_INVALID,
    STATUS_NO_JOBS,
    STATUS_OK,
    Acquired,
    JobStatus,
    QueueStats,
    UpdateResult,
    chunks,
    command_set,
    read_json,
    sum_leaves,
)
from act_atlas.panda.http import Http
from act_atlas.panda.jobs import parse_all
from act_atlas.panda.updates import JobUpdate

NO_JOBS = "No jobs"
# What these messages object to is in the request, so the same update fails again.
PERMANENT = ("Argument error", "Type error", "Invalid job status")
CREDENTIAL = ("role required", "SSL secure connection", "limited proxy")


@dataclass(frozen=True, slots=True)
class _Envelope:
    """{"success", "message", "data"} of an answer."""

    success: bool
    message: str
    data: Any

    @property
    def status_code(self) -> int | None:
        code = self.data.get("StatusCode") if isinstance(self.data, Mapping) else None
        return code if isinstance(code, int) else None

    def check(self, what: str) -> None:
        """Raise for what concerns the call as a whole."""
        if self.status_code in CREDENTIAL_STATUSES or any(word in self.message for word in CREDENTIAL):
            raise CredentialError(f"{what}: PanDA refuses: {self.message or self.status_code}")
        if not self.success or self.status_code not in (None, STATUS_OK):
            raise SourceUnreachable(f"{what}: PanDA says: {self.message or self.status_code or 'nothing'}")


class V1Client:
    """See `PandaClient`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def fetch_jobs(
        self, queue: str, n: int, *, label: str | None = None, scheduler_id: str, node: str,
        resource_type: str | None = None,
    ) -> bytes:  # fmt: skip
        """See `PandaClient`."""
        arguments = {
            "site_name": queue,
            "n_jobs": n,
            "timeout": ACQUIRE_TIMEOUT_S,
            "scheduler_id": scheduler_id,
            "node": node,
            "prod_source_label": label,
            "resource_type": resource_type,
        }
        return self._post("pilot/acquire_jobs", {k: v for k, v in arguments.items() if v is not None})

    def parse_jobs(self, answer: bytes) -> Acquired:
        """See `PandaClient`."""
        envelope = _envelope("acquire_jobs", answer)
        if envelope.status_code == STATUS_NO_JOBS or (not envelope.success and envelope.message.startswith(NO_JOBS)):
            return Acquired()
        envelope.check("acquire_jobs")
        jobs = envelope.data.get("jobs") if isinstance(envelope.data, Mapping) else None
        if not isinstance(jobs, list):
            raise SourceUnreachable(f"acquire_jobs: no list of jobs in {answer[:200]!r}")
        return Acquired(*parse_all(jobs))

    def update_bulk(self, updates: Sequence[JobUpdate]) -> list[UpdateResult]:
        """See `PandaClient`."""
        return [result for chunk in chunks(updates) for result in self._update(chunk)]

    def _update(self, updates: Sequence[JobUpdate]) -> list[UpdateResult]:
        answer = self._post("pilot/update_jobs_bulk", {"job_list": [u.encode() for u in updates]})
        envelope = _envelope("update_jobs_bulk", answer)
        envelope.check("update_jobs_bulk")
        if not isinstance(envelope.data, list) or len(envelope.data) != len(updates):
            raise SourceUnreachable(f"update_jobs_bulk: not {len(updates)} answers in {answer[:200]!r}")
        return [_result(_envelope_of("update_jobs_bulk", item)) for item in envelope.data]

    def job_status(self, pandaids: Sequence[int]) -> dict[int, JobStatus | None]:
        """See `PandaClient`."""
        found: dict[int, JobStatus | None] = dict.fromkeys(pandaids)
        for start in range(0, len(pandaids), BULK):
            query = [("job_ids", str(i)) for i in pandaids[start : start + BULK]]
            for item in self._get("pilot/get_job_status", list, query):
                try:
                    pandaid, status = int(item["job_id"]), str(item["status"])
                    known = JobStatus(status, int(item["attempt_number"]))
                except (TypeError, KeyError, ValueError) as e:
                    raise SourceUnreachable(f"get_job_status: cannot read {item!r:.200}") from e
                if pandaid in found and status != "not found":
                    found[pandaid] = known
        return found

    def queue_stats(self) -> QueueStats:
        """See `PandaClient`."""
        stats = self._get("statistics/active_job_stats_by_site", dict)
        return {queue: sum_leaves(counts) for queue, counts in stats.items() if isinstance(counts, Mapping)}

    def is_alive(self) -> None:
        """See `PandaClient`."""
        _envelope("is_alive", self._http.call("GET", "/api/v1/system/is_alive")).check("is_alive")

    def ahead_s(self) -> float | None:
        """See `PandaClient`."""
        return self._http.ahead_s

    def close(self) -> None:
        """See `PandaClient`."""
        self._http.close()

    def _post(self, method: str, arguments: Mapping[str, object]) -> bytes:
        body = json.dumps(arguments).encode()
        return self._http.call("POST", f"/api/v1/{method}", body=body, content_type="application/json")

    def _get(self, method: str, kind: type, query: Sequence[tuple[str, str]] = ()) -> Any:
        """The data of an answer, which must be of ``kind``."""
        envelope = _envelope(method, self._http.call("GET", f"/api/v1/{method}", query=query))
        envelope.check(method)
        if not isinstance(envelope.data, kind):
            raise SourceUnreachable(f"{method}: data is {envelope.data!r:.200}, not a {kind.__name__}")
        return envelope.data


def _envelope(what: str, answer: bytes) -> _Envelope:
    return _envelope_of(what, read_json(what, answer))


def _envelope_of(what: str, value: Any) -> _Envelope:
    if not isinstance(value, Mapping) or not isinstance(value.get("success"), bool):
        raise SourceUnreachable(f"{what}: not an answer of PanDA: {value!r:.200}")
    return _Envelope(value["success"], str(value.get("message") or ""), value.get("data"))


def _result(envelope: _Envelope) -> UpdateResult:
    """What one envelope of a bulk says of its update."""
    if envelope.success and envelope.status_code == STATUS_OK:
        return UpdateResult(True, command_set(envelope.data.get("command")))
    permanent = envelope.status_code == STATUS_INVALID or envelope.message.startswith(PERMANENT)
    error = envelope.message or f"StatusCode {envelope.status_code}"
    return UpdateResult(False, error=error, retry=not permanent)
