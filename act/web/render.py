"""Values of the application as JSON of /api/v1."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from act import __version__
from act.client.identity import Caller
from act.client.jobs import Jobs
from act.client.model import (
    Confirmed,
    Filter,
    JobDetail,
    JobRow,
    Place,
    ResultFile,
    StoredFile,
    Submitted,
    Usage,
)
from act.errors import JobError
from act.web.errors import told

PAGE = 500  # rows read at a time
Names = Mapping[tuple[str, str], str]


class Page:
    """A list of jobs that is read while it is sent. Its first rows are read at once, so that errors can be told."""

    def __init__(self, jobs: Jobs, caller: Caller, chosen: Filter, after: int, limit: int) -> None:
        self._jobs, self._caller, self._chosen, self._limit = jobs, caller, chosen, limit
        self._first = self._read(after, limit)

    def _read(self, after: int, left: int) -> list[JobRow]:
        return self._jobs.find(self._caller, self._chosen, after=after, limit=min(PAGE, left))

    def rows(self) -> Iterator[JobRow]:
        """At most as many as wanted."""
        rows, left = self._first, self._limit
        while rows:
            yield from rows
            left -= len(rows)
            rows = self._read(rows[-1].id, left) if left and len(rows) == PAGE else []

    def as_json(self, names: Names) -> Iterator[str]:
        """The answer in pieces; the cursor is that of the last row if there may be more."""
        last, sent = 0, 0
        yield '{"jobs": ['
        for row in self.rows():
            yield f"{', ' if sent else ''}{json.dumps(job(row, names))}"
            last, sent = row.id, sent + 1
        yield f'], "next": {json.dumps(str(last) if sent == self._limit else None)}}}'


def job(row: JobRow, names: Names) -> dict[str, Any]:
    """One line of a list."""
    return {
        "id": row.id,
        "name": row.name,
        "state": row.shown,
        "created": row.created,
        "modified": row.modified,
        "ce": names.get((row.ce_url or "", row.queue or ""), ""),
        "ce_url": row.ce_url or "",
        "ce_job_id": row.ce_job_id or "",
        "ce_state": row.ce_state or "",
        "exit_code": row.exit_code,
        "error": row.error,
        "attempt": row.attempts,
        "wall_s": row.wall_s,
        "cpu_s": row.cpu_s,
        "memory_mb": row.memory_mb,
        "node": row.node or "",
        "queue": row.queue or "",
    }


def detail(one: JobDetail, names: Names) -> dict[str, Any]:
    """All about one job."""
    steps = ("at", "of", "source", "event", "target", "who", "why")
    return job(one.row, names) | {
        "description": one.description,
        "language": one.language,
        "attempts": one.row.attempts,
        "history": [{name: getattr(step, name) for name in steps} for step in one.history],
        "inputs": [file(f) for f in one.inputs],
        "results": [file(f) for f in one.results],
    }


def file(one: StoredFile | ResultFile) -> dict[str, Any]:
    """A file and its digest."""
    return {"name": one.name, "size": one.size, "sha256": one.sha256}


def submission(answers: Sequence[Submitted | Confirmed | JobError], ids: Sequence[int] = ()) -> dict[str, Any]:
    """What became of each job of a request, in its order; ids: of jobs that were there before."""
    found: list[dict[str, Any]] = []
    for n, one in enumerate(answers):
        known = {"id": ids[n]} if ids else {}
        if isinstance(one, JobError):
            what = told(one)
            found.append(known | {"error": {"code": what.code, "detail": what.detail}})
        else:
            found.append({"id": one.id, "state": one.state, "name": one.name})
    return {"jobs": found}


def info(caller: Caller, places: Sequence[Place], usage: Usage) -> dict[str, Any]:
    """What a client needs to know before it submits."""
    names = ("name", "flavour", "queue", "url", "status")
    credential = None if caller.proxy_id is None else {"expires": caller.expires}
    return {
        "version": __version__,
        "identity": {"issuer": caller.issuer, "subject": caller.subject, "groups": sorted(caller.groups)},
        "credential": credential,
        "ces": [{name: getattr(place, name) for name in names} for place in places],
        "limits": {"jobs": usage.max_jobs, "files": usage.max_files, "mb": usage.max_mb, "file_mb": usage.max_file_mb},
        "used": {"jobs": usage.jobs, "files": usage.files, "mb": usage.mb},
    }
