"""What operators do to jobs that people have submitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from act.client import changes, db
from act.client.changes import Refused
from act.control.jobs import Verb
from act.db import waiting


def control(
    connection: Connection, verb: Verb, ids: Sequence[int], *, who: str, why: str, value: Any = None
) -> Refused:
    """See `act.interfaces.Operations.control`."""
    rows = list(db.get(connection, ids, lock=True).values())
    gone = dict.fromkeys(set(ids) - {r.id for r in rows}, "it is not here any more")
    by = changes.operator(who, why)
    if verb in waiting.VERBS:
        attempts = {r.id: r.cejob_id for r in rows}
        return gone | waiting.order(connection, verb, attempts, who=who, why=why, value=value)
    if verb is Verb.KILL:
        return gone | changes.kill(connection, rows, by)
    if verb is Verb.CLEAN:
        return gone | changes.clean(connection, rows, by)
    if verb is Verb.RESUBMIT:
        return gone | changes.resubmit(connection, rows, by)
    return gone | {r.id: "its owner asks; nobody is told" for r in rows}
