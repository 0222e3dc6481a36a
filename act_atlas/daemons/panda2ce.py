"""panda2arc (and its like for other CE types): makes an attempt for each PanDA job that has none."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from act.daemons.base import Key
from act.db import cejobs, ces
from act.db.engine import NOW, AnyRow
from act.db.moves import Move
from act.errors import BadJobSpec
from act.model import Submission
from act_atlas import db
from act_atlas.conversion import Conversion, convert
from act_atlas.daemons.base import AtlasDaemon
from act_atlas.pandajob import PandaJob
from act_atlas.queueinfo import Endpoint, QueueInfo
from act_atlas.states import Event

log = logging.getLogger(__name__)

BATCH = 100
TOKEN_FOR_PEOPLE = "act.token"


def joblog_name(row: AnyRow, ending: str) -> str:
    """Where the files of a job are in the joblog: ``<date>/<queue>/<pandaid>.<ending>``."""
    day = datetime.fromtimestamp(row.created, UTC).date()
    return f"{day}/{row.queue}/{row.pandaid}.{ending}"


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
            proxy = self.context.proxy_for(self.atlas.panda.role)
            good, bad = self._convert(rows, queues)
            lease.check()
            return self.db.run("attempts", lambda c: self._insert(c, good, bad, proxy.proxy_id, lease.holder))
        finally:
            ids = [r.id for r in rows]
            self.db.run("release", lambda c: db.release(c, ids, holder=lease.holder, after_s=self.idle_s * 10))

    def _convert(
        self, rows: Sequence[AnyRow], queues: Mapping[str, QueueInfo]
    ) -> tuple[list[tuple[AnyRow, Conversion]], list[Move]]:
        good, bad = [], []
        factory = self.context.factory(self.flavour)
        for row in rows:
            try:
                if "malformed" in row.metadata:
                    raise BadJobSpec(f"PanDA sent a job that makes no sense: {row.metadata['malformed']}")
                made = convert(
                    PandaJob.parse(row.job),
                    queues[row.queue],
                    self.atlas,
                    flavour=self.flavour,
                    created=row.created,
                    rowid=row.id,
                    metadata=row.metadata,
                )
                request = factory.describe(Submission(0, TOKEN_FOR_PEOPLE, made.spec, made.candidates[0].queue))
            except BadJobSpec as error:
                log.error("job %d of queue %s cannot be submitted: %s", row.pandaid, row.queue, error)
                values = {"error_code": 9000, "error_diag": str(error)[:500], "due": NOW}
                bad.append(Move(row.id, "sent", Event.UNFIT, str(error)[:500], values))
                continue
            with self.joblog.write(joblog_name(row, "jdl")) as out:
                out.write(request.encode())
            good.append((row, made))
        return good, bad

    def _insert(
        self,
        connection: Connection,
        good: Sequence[tuple[AnyRow, Conversion]],
        bad: Sequence[Move],
        proxy_id: int,
        holder: str,
    ) -> int:
        """Only rows still under our claim get an attempt: it is locked before the attempt is made."""
        held = {i for i, r in db.get(connection, [r.id for r, _ in good], lock=True).items() if r.claimed_by == holder}
        good = [(row, made) for row, made in good if row.id in held]
        places = _places(connection, {e for _, made in good for e in made.candidates})
        attempts = [self._attempt(row, made, proxy_id, places) for row, made in good]
        ids = cejobs.add(connection, attempts, who=self.name)
        moves = [
            Move(row.id, "sent", Event.ATTEMPT, f"attempt {i}", {"cejob_id": i, "due": NOW})
            for (row, _), i in zip(good, ids, strict=True)
        ]
        return len(db.move(connection, [*moves, *bad], who=self.name, holder=holder))

    def _attempt(
        self, row: AnyRow, made: Conversion, proxy_id: int, places: Mapping[Endpoint, int]
    ) -> cejobs.NewAttempt:
        return cejobs.NewAttempt(
            app=db.SOURCE,
            appjob_id=row.id,
            flavour=self.flavour,
            share=made.share,
            priority=row.priority,
            proxy_id=proxy_id,
            spec=made.spec,
            cequeue_ids=tuple(places[e] for e in made.candidates),
        )


def _places(connection: Connection, endpoints: Iterable[Endpoint]) -> dict[Endpoint, int]:
    """CE queue ids of endpoints."""
    return {e: ces.ensure(connection, e.flavour, e.url, e.queue) for e in endpoints}
