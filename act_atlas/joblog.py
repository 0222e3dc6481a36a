"""Where the joblog has the logs of a PanDA job."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection

from act.db import situation
from act.model import PublishedLogs
from act_atlas import db
from act_atlas.config import load_atlas

ENDINGS = ("out", "err", "log", "jdl")


def joblog_name(row: Any, ending: str) -> str:
    """Where the files of a job are in the joblog: ``<date>/<queue>/<pandaid>.<ending>``."""
    day = datetime.fromtimestamp(row.created, UTC).date()
    return f"{day}/{row.queue}/{row.pandaid}.{ending}"


def published(connection: Connection, name: str) -> PublishedLogs | None:
    """The logs of a job by its PanDA id, also of one in the archive."""
    if not name.isdecimal() or len(name) > 18:
        return None
    row: Any = db.find(connection, int(name))
    if row is None and (old := situation.archived(connection, db.SOURCE, name)) is not None:
        row = SimpleNamespace(created=old.created, queue=old.queue, pandaid=old.external_id)
    if row is None:
        return None
    names = {f"{row.pandaid}.{ending}": joblog_name(row, ending) for ending in ENDINGS}
    return PublishedLogs(str(load_atlas().joblog.dir), names)
