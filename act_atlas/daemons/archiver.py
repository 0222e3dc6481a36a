"""archiver: folds ended jobs into the archive, sees that no job stays in a state for ever, and prunes."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection

from act.daemons.base import Key
from act.daemons.context import Context
from act.db import archive, cejobs
from act.db.engine import NOW, AnyRow
from act.db.moves import Move
from act.states import DAY
from act.states import Event as CEEvent
from act_atlas import db
from act_atlas.daemons.base import AtlasDaemon
from act_atlas.outcome import STAGEOUT_CODE
from act_atlas.states import DEADLINES, ON_STORAGE, TO_REPORT, Event

BATCH = 200
LOOK_S = 60.0


class Archiver(AtlasDaemon):
    """One bounded batch a pass."""

    kind = "archiver"

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        super().__init__(context, name, flavour)
        self._look_due = 0.0

    def work(self, lane: Key) -> int:
        if time.monotonic() >= self._look_due:
            self._look_due = time.monotonic() + LOOK_S
            self.db.run("deadlines", self._enforce_deadlines)
            older_s = self.atlas.panda.archive_days * DAY
            self.db.run("prune", lambda c: archive.prune(c, older_s, limit=BATCH * 10))
        return self.db.run("archive", self._archive)

    def _archive(self, connection: Connection) -> int:
        rows = db.to_archive(connection, after_s=self.atlas.panda.archive_after_s, limit=BATCH)
        if rows:
            db.archive_rows(connection, rows)
        return len(rows)

    def _enforce_deadlines(self, connection: Connection) -> None:
        for deadline in DEADLINES.values():
            rows = db.overdue(connection, deadline.state, deadline.seconds, limit=BATCH)
            moves = [
                Move(r.id, r.state, deadline.event, deadline.why, _values(r, deadline.why), version=r.version)
                for r in rows
            ]
            moved = db.move(connection, moves, who=self.name)
            db.outputs.want_removed(connection, [i for i, state in moved.items() if state == "toclean"])
            db.outputs.give_up(connection, [i for i, state in moved.items() if state == "failed"], deadline.why)
            if deadline.event == Event.KILL:
                attempts = [r.cejob_id for r in rows if r.id in moved and r.cejob_id is not None]
                cejobs.wish(connection, attempts, CEEvent.CANCEL, who="application", why=deadline.why)


def _values(row: AnyRow, why: str) -> dict[str, Any]:
    """What was wrong with a job before is what PanDA wants to know; that its outputs stay is in the events."""
    values = {"due": None if row.state in TO_REPORT else NOW, "error_diag": row.error_diag or why}
    return values | {"error_code": row.error_code or STAGEOUT_CODE} if row.state in ON_STORAGE else values
