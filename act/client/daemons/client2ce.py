"""client2arc, client2condor and their like, one for each CE type: make attempts for jobs that people have submitted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from act.client import db
from act.client.states import Event
from act.client.tables import APP, LEDGER, share_of
from act.config import UserCE
from act.daemons.base import Daemon, Key
from act.db import cejobs, ces, specs
from act.db.engine import AnyRow
from act.db.moves import Move
from act.errors import BadJobSpec
from act.log import about
from act.model import JobSpec, Submission

log = logging.getLogger(__name__)

BATCH = 100
PRIORITY = 50  # of a job that says nothing of it
_TOKEN_FOR_PEOPLE = "act.token"


class _Ready(NamedTuple):
    """A job that may be submitted to these CE queues."""

    row: AnyRow
    spec: JobSpec
    places: Sequence[UserCE]


class ClientToCE(Daemon):
    """What is read is looked at outside of any transaction; it counts only if the job has not changed meanwhile."""

    kind = "client2ce"

    def work(self, lane: Key) -> int:
        rows = self.db.read("ready", lambda c: db.ready_to_run(c, self.flavour, limit=BATCH))
        if not rows:
            return 0
        good: list[_Ready] = []
        bad: list[Move] = []
        for row in rows:
            try:
                good.append(self._ready(row))
            except BadJobSpec as error:
                log.error("job %d cannot be submitted: %s", row.id, error, extra=about(row.id, LEDGER.kind))
                values = {"error": str(error), "shown": "donefailed"}
                bad.append(Move(row.id, "sent", Event.UNFIT, str(error), values, row.version))
        return self.db.run("attempts", lambda c: self._insert(c, good, bad))

    def _ready(self, row: AnyRow) -> _Ready:
        """Looked at once more: configuration and CE types may be others than when it was confirmed."""
        known = {ce.name: ce for ce in self.context.config.users.ce if ce.flavour == self.flavour}
        places = [known[name] for name in row.ces if name in known]
        if not places:
            raise BadJobSpec(f"none of the CEs {', '.join(row.ces)} is there any more: submit it anew for another one")
        spec = specs.load(row.spec)
        self.context.factory(self.flavour).describe(Submission(0, _TOKEN_FOR_PEOPLE, spec, places[0].queue))
        return _Ready(row, spec, places)

    def _insert(self, connection: Connection, good: Sequence[_Ready], bad: Sequence[Move]) -> int:
        """The rows are held before the attempts are made, so that nobody else makes any for them."""
        held = db.get(connection, [g.row.id for g in good], lock=True)
        good = [g for g in good if g.row.id in held and held[g.row.id].version == g.row.version]
        ways = self.context.config.ces.ways
        queues = {
            p.name: [ces.ensure(connection, p.flavour, p.url, p.queue, way) for way in ways(p.flavour, p.url)]
            for g in good
            for p in g.places
        }
        ids = cejobs.add(connection, [self._attempt(g, queues) for g in good], who=self.name)
        moves = [
            Move(
                g.row.id, "sent", Event.ATTEMPT, f"attempt {i}",
                {"cejob_id": i, "attempts": g.row.attempts + 1}, g.row.version,
            )
            for g, i in zip(good, ids, strict=True)
        ]  # fmt: skip
        return len(db.move(connection, [*moves, *bad], who=self.name))

    def _attempt(self, ready: _Ready, queues: dict[str, list[int]]) -> cejobs.NewAttempt:
        row, spec = ready.row, ready.spec
        return cejobs.NewAttempt(
            app=APP,
            appjob_id=row.id,
            flavour=self.flavour,
            share=share_of(row.user_id),
            priority=spec.priority if spec.priority is not None else PRIORITY,
            proxy_id=row.proxy_id,
            spec=spec,
            cequeue_ids=tuple(i for p in ready.places for i in queues[p.name]),
            attempt=row.attempts + 1,
        )
