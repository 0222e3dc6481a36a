"""The columns that users of the legacy interface know, and what each is made of. Names and case are part of the wire.

The words of one CE type stand here because they are on that wire for jobs of every type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from werkzeug.http import http_date

from act.client.model import JobRow
from act.web.errors import BadRequest

JOB, ATTEMPT = "client", "arc"  # the two lists of columns, in queries and in /info
LANGUAGE = "xrsl"  # what these clients write
Column = Callable[[JobRow], Any]


def _cluster(row: JobRow) -> str | None:
    return row.ce_url if row.ce_url is None or "://" in row.ce_url else f"https://{row.ce_url}"


def _url(row: JobRow) -> str | None:
    """Unique and telling, also where the CE gives its jobs no URL."""
    return f"{(_cluster(row) or '').rstrip('/')}/{row.ce_job_id}" if row.ce_job_id else None


def _date(at: float | None) -> str | None:
    return None if at is None else http_date(at)


JOB_COLUMNS: Mapping[str, Column] = {
    "id": lambda r: r.id,
    "jobname": lambda r: r.name,
    "created": lambda r: _date(r.created),
    "modified": lambda r: _date(r.modified),
    "clusterlist": lambda r: ",".join(r.ces),
    "arcjobid": lambda r: r.attempt_id,
}
ATTEMPT_COLUMNS: Mapping[str, Column] = {
    "id": lambda r: r.attempt_id,
    "JobID": _url,
    # the client names the directory of results by it, also when nothing is left of the attempt
    "IDFromEndpoint": lambda r: r.ce_job_id or (f"job-{r.id}" if r.attempts else None),
    "State": lambda r: r.ce_state,
    "arcstate": lambda r: r.shown or None,
    "tarcstate": lambda r: _date(r.attempt_since),
    "cluster": _cluster,
    "clusterlist": lambda r: ",".join(r.ces),
    "created": lambda r: _date(r.attempt_created),
    "modified": lambda r: _date(r.attempt_since),
    "appjobid": lambda r: str(r.id),
    "Name": lambda r: r.name,
    "StdOut": lambda r: r.stdout or None,
    "StdErr": lambda r: r.stderr or r.stdout or None,
    "ExitCode": lambda r: r.exit_code,
    "Error": lambda r: r.error or None,
    "ExecutionNode": lambda r: r.node,
    "Queue": lambda r: r.queue,
    "UsedTotalWallTime": lambda r: r.wall_s,
    "UsedTotalCPUTime": lambda r: r.cpu_s,
    "UsedMainMemory": lambda r: None if r.memory_mb is None else r.memory_mb * 1024,  # KiB
}


def chosen(names: Sequence[str], known: Mapping[str, Column], prefix: str) -> dict[str, Column]:
    """Columns by their keys in the answer. Raises BadRequest for one that is unknown."""
    for name in names:
        if name not in known:
            raise BadRequest(f'Invalid column "{name}"; there are: {", ".join(known)}')
    return {f"{prefix}_{name}": known[name] for name in names}


def values(row: JobRow, columns: Mapping[str, Column]) -> dict[str, Any]:
    """One row of the answer."""
    return {key: column(row) for key, column in columns.items()}
