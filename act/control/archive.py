"""Pruning the archive by hand; the archiver does it by itself after as many days as are configured."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from act.db import archive, moves
from act.db.engine import Database

PAGE = 2000
EVENTS = "archive"  # kind of the events of pruning


def prune(database: Database, older_s: float, *, who: str, why: str) -> Iterator[int]:
    """Delete what ended longer ago, page by page, each in a transaction of its own; yields how many went with each."""

    def work(connection: Connection) -> int:
        n = archive.prune(connection, older_s, limit=PAGE)
        if n:
            note = f"{n} jobs that ended more than {older_s / 86400:g} days ago: {why}"
            moves.note(connection, EVENTS, [(0, "", note)], who=who, event="prune")
        return n

    while n := database.run("prune", work):
        yield n
