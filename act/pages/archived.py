"""Jobs that are over and in the archive, those that ended last first. Read from one open snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from act.db import archive
from act.db.archive import Past
from act.db.engine import AnyRow
from act.errors import ActError
from act.explain.words import seconds
from act.pages.jobs import words

PAGE = 200
LATELY = "1d"


@dataclass(frozen=True, slots=True)
class Archived:
    """Ended jobs, `PAGE` at most. fields: what was typed; newer: the span that they ended in; problem: with that."""

    fields: Mapping[str, str]
    newer: str
    lines: tuple[AnyRow, ...]
    problem: str = ""


def listing(connection: Connection, now: float, fields: Mapping[str, str]) -> Archived:
    """Those of a queue, in some states, that ended of late: the end bounds how much is read."""
    newer = fields.get("newer", "").strip() or LATELY
    try:
        after = now - seconds(newer)
    except ActError as error:
        return Archived(fields, newer, (), str(error))
    wanted = Past(queue=fields.get("queue", "").strip(), states=words(fields.get("state", "")), ended_after=after)
    return Archived(fields, newer, tuple(archive.find(connection, wanted, limit=PAGE)))
