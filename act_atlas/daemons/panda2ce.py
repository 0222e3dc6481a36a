"""panda2arc (and its like for other CE types): makes an attempt for each PanDA job that has none."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from act.daemons.base import Key
from act.db import cejobs, ces, credentials
from act.db.engine import NOW, AnyRow
from act.db.moves import Move
from act.errors import BadJobSpec, ConfigError
from act.log import about
from act.model import Submission
from act_atlas import db
from act_atlas.conversion import Conversion, convert
from act_atlas.daemons.base import AtlasDaemon
from act_atlas.joblog import joblog_name
from act_atlas.pandajob import PandaJob
from act_atlas.queueinfo import Endpoint, QueueInfo
from act_atlas.states import Event

log = logging.getLogger(__name__)

BATCH = 100
TOKEN_FOR_PEOPLE = "act.token"


class _Ready(NamedTuple):
    """A job that may be submitted with this proxy."""

    row: AnyRow
    made: Conversion
    proxy_id: int


class PandaToCE(AtlasDaemon):
    """Converts jobs of the queues that have CEs of its flavour."""

    kind = "panda2arc"

    def work(self, lane: Key) -> int:
        queues = {n: q for n, q in self.queues().items() if q.candidates(self.flavour)}
        lease = self.claim()
        rows = self.db.run(
            "claim",
            lambda c: db.claim(c, "sent", list(queues), holder=lease.holder, lease_s=lease.lease_s, limit=BATCH),
        )
        if not rows:
            return 0
        try:
            good, bad = self._convert(rows, queues)
            lease.check()
            return self.db.run("attempts", lambda c: self._insert(c, good, bad, lease.holder))
        finally:
            ids = [r.id for r in rows]
            self.db.run("release", lambda c: db.release(c, ids, holder=lease.holder, after_s=self.idle_s * 10))

    def _convert(self, rows: Sequence[AnyRow], queues: Mapping[str, QueueInfo]) -> tuple[list[_Ready], list[Move]]:
        good, bad = [], []
        proxies = self.db.read("proxies", credentials.by_role)
        factory = self.context.factory(self.flavour)
        for row in rows:
            try:
                ready = self._ready(row, queues[row.queue], proxies)
                made = ready.made
                request = factory.describe(Submission(0, TOKEN_FOR_PEOPLE, made.spec, made.candidates[0].queue))
            except BadJobSpec as error:
                log.error(
                    "job %d of queue %s cannot be submitted: %s", row.pandaid, row.queue, error, extra=_about(row)
                )
                values = {"error_code": 9000, "error_diag": str(error)[:500], "due": NOW}
                bad.append(Move(row.id, "sent", Event.UNFIT, str(error)[:500], values))
                continue
            except ConfigError as error:  # of this kind of job only: it waits until the operator has mended it
                log.error("job %d of queue %s waits: %s", row.pandaid, row.queue, error, extra=_about(row))
                continue
            with self.joblog.write(joblog_name(row, "jdl")) as out:
                out.write(request.encode())
            good.append(ready)
        return good, bad

    def _ready(self, row: AnyRow, queue: QueueInfo, proxies: Mapping[str, AnyRow]) -> _Ready:
        """One job converted. proxies: role -> proxy; ConfigError if there is none of the job's role."""
        if "malformed" in row.metadata:
            raise BadJobSpec(f"PanDA sent a job that makes no sense: {row.metadata['malformed']}")
        job = PandaJob.parse(row.job)
        configured = {source.role for source in self.context.config.proxies.proxy}
        role = self.atlas.panda.role_of(analysis=job.is_user, configured=configured)
        if role not in proxies:
            raise ConfigError(f"there is no proxy for role '{role}' yet: configure it in proxies/proxy")
        made = convert(
            job, queue, self.atlas, flavour=self.flavour, created=row.created, rowid=row.id, metadata=row.metadata
        )
        return _Ready(row, made, proxies[role].id)

    def _insert(self, connection: Connection, good: Sequence[_Ready], bad: Sequence[Move], holder: str) -> int:
        """Only rows still under our claim get an attempt: it is locked before the attempt is made."""
        rows = db.get(connection, [g.row.id for g in good], lock=True)
        good = [g for g in good if g.row.id in rows and rows[g.row.id].claimed_by == holder]
        places = self._places(connection, {e for g in good for e in g.made.candidates})
        ids = cejobs.add(connection, [self._attempt(g, places) for g in good], who=self.name)
        moves = [
            Move(g.row.id, "sent", Event.ATTEMPT, f"attempt {i}", _begun(g.row, g.made, i))
            for g, i in zip(good, ids, strict=True)
        ]
        return len(db.move(connection, [*moves, *bad], who=self.name, holder=holder))

    def _places(self, connection: Connection, endpoints: Iterable[Endpoint]) -> dict[Endpoint, tuple[int, ...]]:
        """CE queue ids of endpoints: one for each way that leads there."""
        ways = self.context.config.ces.ways
        return {
            e: tuple(ces.ensure(connection, e.flavour, e.url, e.queue, way) for way in ways(e.flavour, e.url))
            for e in endpoints
        }

    def _attempt(self, ready: _Ready, places: Mapping[Endpoint, tuple[int, ...]]) -> cejobs.NewAttempt:
        return cejobs.NewAttempt(
            app=db.SOURCE,
            appjob_id=ready.row.id,
            flavour=self.flavour,
            share=ready.made.share,
            priority=ready.row.priority,
            proxy_id=ready.proxy_id,
            spec=ready.made.spec,
            cequeue_ids=tuple(i for e in ready.made.candidates for i in places[e]),
        )


def _about(row: AnyRow) -> dict[str, Any]:
    return about(row.id, db.LEDGER.kind, pandaid=row.pandaid)


def _begun(row: AnyRow, made: Conversion, cejob_id: int) -> dict[str, Any]:
    """What the row of a job says of its new attempt."""
    return {"cejob_id": cejob_id, "due": NOW, "truepilot": made.truepilot, "attempts": row.attempts + 1}
