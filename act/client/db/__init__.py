"""All SQL on jobs that people submit."""

from act.client.db.ends import (
    attempts_of,
    drop,
    gone_attempts,
    gone_jobs,
    highest_job,
    last_words,
    note_results,
    overdue,
    removable,
    rest,
)
from act.client.db.files import count, file_named, files_of, lock_usage, replace_file, stored_of, usage, watching
from act.client.db.jobs import add, batch, complete, get, initialise, lock, mark, move, owner, ready_to_run, rows_of
from act.client.db.listing import counts, everybody, find_ids, listing, shown_of, totals
from act.client.db.looking import look

__all__ = [
    "add",
    "attempts_of",
    "batch",
    "complete",
    "count",
    "counts",
    "drop",
    "everybody",
    "file_named",
    "files_of",
    "find_ids",
    "get",
    "gone_attempts",
    "gone_jobs",
    "highest_job",
    "initialise",
    "last_words",
    "listing",
    "lock",
    "lock_usage",
    "look",
    "mark",
    "move",
    "note_results",
    "overdue",
    "owner",
    "ready_to_run",
    "removable",
    "replace_file",
    "rest",
    "rows_of",
    "shown_of",
    "stored_of",
    "totals",
    "usage",
    "watching",
]
