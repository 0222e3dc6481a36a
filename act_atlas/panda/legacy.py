"""PanDA's interface of servers up to 0.8.1: forms over /server/panda/<method>, answers urlencoded or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

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


class LegacyClient:
    """See `PandaClient`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def fetch_jobs(
        self, queue: str, n: int, *, label: str | None = None, scheduler_id: str, node: str,
        resource_type: str | None = None,
    ) -> bytes:  # fmt: skip
        """See `PandaClient`."""
        arguments = {
            "siteName": queue,
            "nJobs": str(n),
            "timeout": str(ACQUIRE_TIMEOUT_S),
            "schedulerID": scheduler_id,
            "node": node,
            "prodSourceLabel": label,
            "resourceType": resource_type,
        }
        return self._post("getJob", {k: v for k, v in arguments.items() if v is not None})

    def parse_jobs(self, answer: bytes) -> Acquired:
        """See `PandaClient`."""
        values = read_json("getJob", answer)
        code = _status_code("getJob", values)
        if code == STATUS_NO_JOBS:
            return Acquired()
        _check("getJob", code, values)
        jobs = values.get("jobs")
        if isinstance(jobs, str):
            jobs = read_json("getJob", jobs.encode())
        if not isinstance(jobs, list):
            raise SourceUnreachable(f"getJob: no list of jobs in {answer[:200]!r}")
        return Acquired(*parse_all(jobs))

    def update_bulk(self, updates: Sequence[JobUpdate]) -> list[UpdateResult]:
        """See `PandaClient`."""
        return [result for chunk in chunks(updates) for result in self._update(chunk)]

    def _update(self, updates: Sequence[JobUpdate]) -> list[UpdateResult]:
        job_list = json.dumps([u.encode_legacy() for u in updates])
        body = self._post("updateJobsInBulk", {"jobList": job_list}, accept="*/*")
        answer = read_json("updateJobsInBulk", body)
        if not isinstance(answer, list) or len(answer) != 2:
            raise SourceUnreachable(f"updateJobsInBulk: not an answer of PanDA: {body[:200]!r}")
        worked, results = answer
        if worked is not True or not isinstance(results, list) or len(results) != len(updates):
            raise SourceUnreachable(f"updateJobsInBulk: PanDA says: {results!r:.300}")
        return [_result(item) for item in results]

    def job_status(self, pandaids: Sequence[int]) -> dict[int, JobStatus | None]:
        """See `PandaClient`."""
        found: dict[int, JobStatus | None] = dict.fromkeys(pandaids)
        for start in range(0, len(pandaids), BULK):
            chunk = pandaids[start : start + BULK]
            body = self._post("getStatus", {"ids": " ".join(map(str, chunk))}, accept="*/*")
            values = _form("getStatus", body)
            _check("getStatus", _status_code("getStatus", values), values)
            # joined by "+", which a form may also read as a space
            statuses, attempts = (re.split(r"[+ ]", values.get(key, "")) for key in ("status", "attemptNr"))
            if not len(statuses) == len(attempts) == len(chunk) or not all(a.isdigit() for a in attempts):
                raise SourceUnreachable(f"getStatus: not {len(chunk)} answers in {body[:200]!r}")
            for pandaid, status, attempt in zip(chunk, statuses, attempts, strict=True):
                if status != "notfound":
                    found[pandaid] = JobStatus(status, int(attempt))
        return found

    def queue_stats(self) -> QueueStats:
        """See `PandaClient`."""
        # the older getJobStatisticsPerSite answers with a pickle, which is never to be loaded
        method = "get_job_statistics_per_site_label_resource"
        stats = read_json(method, self._post(method, {}))
        if not isinstance(stats, dict):
            raise SourceUnreachable(f"{method}: not an answer of PanDA: {stats!r:.200}")
        return {queue: sum_leaves(counts) for queue, counts in stats.items() if isinstance(counts, Mapping)}

    def is_alive(self) -> None:
        """See `PandaClient`."""
        answer = self._http.call("GET", "/server/panda/isAlive", accept="*/*")
        if answer.strip() != b"alive=yes":
            raise SourceUnreachable(f"isAlive: PanDA says: {answer[:200]!r}")

    def ahead_s(self) -> float | None:
        """See `PandaClient`."""
        return self._http.ahead_s

    def close(self) -> None:
        """See `PandaClient`."""
        self._http.close()

    def _post(self, method: str, arguments: Mapping[str, str], accept: str = "application/json") -> bytes:
        # a JSON body would have to be gzipped whatever the headers say; a plain form is what all versions read
        return self._http.call(
            "POST", f"/server/panda/{method}", body=urlencode(arguments).encode(), accept=accept,
            content_type="application/x-www-form-urlencoded",
        )  # fmt: skip


def _form(what: str, answer: bytes | str) -> dict[str, str]:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    values = dict(parse_qsl(text, keep_blank_values=True))
    if "StatusCode" not in values:
        raise SourceUnreachable(f"{what}: not an answer of PanDA: {text[:200]!r}")
    return values


def _status_code(what: str, values: Any) -> int:
    try:
        return int(values["StatusCode"])
    except (TypeError, KeyError, ValueError) as e:
        raise SourceUnreachable(f"{what}: no StatusCode in {values!r:.200}") from e


def _check(what: str, code: int, values: Mapping[str, Any]) -> None:
    if code in CREDENTIAL_STATUSES:
        raise CredentialError(f"{what}: PanDA refuses our credential (StatusCode {code})")
    if code != STATUS_OK:
        raise SourceUnreachable(f"{what}: StatusCode {code} {values.get('errorDialog', '')}".rstrip())


def _result(item: object) -> UpdateResult:
    """What one element of a bulk answer says: an urlencoded text, or JSON wrapped in {"type", "content"}."""
    if isinstance(item, Mapping):
        values = read_json("updateJobsInBulk", str(item.get("content")).encode())
    else:
        values = _form("updateJobsInBulk", str(item))
    code = _status_code("updateJobsInBulk", values)
    if code in CREDENTIAL_STATUSES:
        raise CredentialError(f"updateJobsInBulk: PanDA refuses our credential (StatusCode {code})")
    if code == STATUS_OK:
        return UpdateResult(True, command_set(values.get("command")))
    return UpdateResult(False, error=f"StatusCode {code}", retry=code != STATUS_INVALID)
