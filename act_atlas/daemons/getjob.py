"""getjob: keeps each queue supplied, no more than it can soon run, and loses no answer that reached us.

PanDA's acquire cannot be repeated, so an answer goes to the store, synced, before anything else is done with it.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from act.daemons.base import Key
from act.daemons.context import Context
from act.db import meta, orders
from act.db.orders import Standing
from act.errors import CredentialError, OutputMissing, SourceUnreachable, StorageUnavailable, TemporaryError
from act_atlas import db, supply
from act_atlas.daemons.base import AtlasDaemon
from act_atlas.panda import QueueStats, may_hold_jobs
from act_atlas.queueinfo import QueueInfo

log = logging.getLogger(__name__)

INTAKE = "intake"
LEFTOVERS_S = 60.0
NOTE_S = 60.0
LABELS = {"production": "managed", "analysis": "user", "unified": "unified"}


class GetJob(AtlasDaemon):
    """One lane per queue, and one (None) for answers that a crash left in the store."""

    kind = "getjob"

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        super().__init__(context, name, flavour)
        self._due: dict[str, float] = {}
        self._empty: set[str] = set()  # queues that had nothing when last asked
        self._leftovers_due = 0.0
        self._unstored: dict[str, bytes] = {}  # answers that the store did not take, by the names they have there
        self._stats: QueueStats = {}
        self._stats_due = 0.0
        self._noted: dict[str, tuple[tuple[bool, bool], float]] = {}

    def lanes(self) -> Sequence[Key]:
        now = time.monotonic()
        loads, ordered = self.db.read("loads", lambda c: (db.waiting_and_running(c), orders.standing(c)))
        self._refresh_stats(now)
        queues = (q for q in self.queues().values() if now >= self._due.get(q.name, 0.0))
        due = [q.name for q in queues if self._room(q, loads, ordered) > 0]
        due.sort(key=lambda name: -self._stats.get(name, {}).get("activated", 0))
        return [*([None] if now >= self._leftovers_due else []), *due]

    def work(self, lane: Key) -> int:
        if not isinstance(lane, str):
            return self._take_leftovers()
        queue = self.queues().get(lane)
        load, ordered = self.db.read("load", lambda c: (db.waiting_and_running(c, lane), orders.standing(c)))
        if queue is None or (room := self._room(queue, load, ordered)) <= 0:
            return 0
        self._plan(lane, found=False)
        answer = self._ask(queue, min(room, self.atlas.panda.bulk))
        if not may_hold_jobs(answer):
            self._note(lane, 0)
            return 0
        self._plan(lane, found=True)
        stored = f"{INTAKE}/{quote(lane, safe='')}/{secrets.token_hex(8)}"
        try:
            self._keep(stored, answer)
            taken = self._take(lane, stored, answer)
        except TemporaryError:
            self._leftovers_due = 0.0  # what is in the store already must not wait
            raise
        self._note(lane, taken)
        return taken

    def _ask(self, queue: QueueInfo, wanted: int) -> bytes:
        """PanDA's answer to the question for so many jobs."""
        try:
            return self.panda().fetch_jobs(
                queue.name,
                wanted,
                label=_label(queue),
                scheduler_id=self.atlas.panda.schedulerid,
                node=self.context.host,
            )
        except (SourceUnreachable, CredentialError) as error:
            if isinstance(error, SourceUnreachable) and error.sent:
                log.warning("queue %s: an answer was lost: PanDA takes back the jobs that were in it", queue.name)
                self.db.run("lost-answer", lambda c: meta.count(c, "lost_answers"))
            self._note(queue.name, 0, str(error))
            raise

    def _note(self, queue: str, jobs: int, error: str | None = None) -> None:
        """What came of asking, for people; without jobs, and if it is as it was, once a minute."""
        outcome, now = (jobs > 0, error is not None), time.monotonic()
        before, at = self._noted.get(queue, (None, 0.0))
        if jobs or outcome != before or now >= at + NOTE_S:
            self.db.run("asked", lambda c: db.asks.note(c, queue, jobs, error))
            self._noted[queue] = outcome, now

    def _keep(self, stored: str, answer: bytes) -> None:
        """Put an answer into the store, where a crash cannot reach it. Jobs are not lost only because that fails,
        and not because the database fails too."""
        try:
            with self.context.store.write(stored) as out:
                out.write(answer)
        except StorageUnavailable as error:
            log.error("an answer with jobs goes to the database only, a crash would lose it: %s", error)
            self._unstored[stored] = answer

    def _room(self, queue: QueueInfo, loads: Mapping[str, tuple[int, int]], ordered: Standing) -> int:
        """How many jobs the queue may get now."""
        return supply.room(queue, *loads.get(queue.name, (0, 0)), self.atlas.panda, ordered).jobs

    def _plan(self, queue: str, *, found: bool) -> None:
        """When to ask again: soon where there was work. Queues without share what PanDA can be asked in a second."""
        panda = self.atlas.panda
        self._empty.discard(queue)
        if not found:
            self._empty.add(queue)
        delay = panda.getjob_min_s if found else len(self._empty) / panda.getjob_per_s
        self._due[queue] = time.monotonic() + max(panda.getjob_min_s, min(panda.getjob_max_s, delay))

    def _refresh_stats(self, now: float) -> None:
        """PanDA's counts are a minute old: they only say which queues to ask first, and which to ask again."""
        if now < self._stats_due:
            return
        self._stats_due = now + self.atlas.panda.stats_s
        try:
            self._stats = self.panda().queue_stats()
        except SourceUnreachable as error:
            log.warning("no statistics from PanDA: %s", error)
            return
        for queue, counts in self._stats.items():
            if counts.get("activated", 0) > 0:
                self._due[queue] = min(self._due.get(queue, now), now)

    def _take(self, queue: str, stored: str, answer: bytes) -> int:
        """Put the jobs of an answer into the database; doing so twice changes nothing."""
        acquired = self.panda().parse_jobs(answer)
        for bad in acquired.malformed:
            log.error("queue %s: PanDA sent job %s, which makes no sense: %s", queue, bad.pandaid, bad.reason)
        first_s = self.atlas.panda.first_heartbeat_s
        ids = self.db.run("intake", lambda c: db.add(c, queue, acquired, heartbeat_in_s=first_s, who=self.name))
        self._unstored.pop(stored, None)
        try:
            self.context.store.remove(stored)
        except StorageUnavailable:  # a copy that stays is taken again, which changes nothing
            self._leftovers_due = 0.0
        return len(ids)

    def _take_leftovers(self) -> int:
        taken = sum(self._take(_queue(stored), stored, answer) for stored, answer in list(self._unstored.items()))
        for stored in self.context.store.list(INTAKE):
            try:
                answer = self.context.store.read(stored)
            except OutputMissing:
                continue  # it was no leftover: whoever fetched it has taken it
            taken += self._take(_queue(stored), stored, answer)
        self._leftovers_due = time.monotonic() + LEFTOVERS_S
        return taken


def _queue(stored: str) -> str:
    """The queue that an answer is for."""
    return unquote(stored.split("/")[-2])


def _label(queue: QueueInfo) -> str | None:
    """prodSourceLabel to ask for."""
    return supply.ASKED.get(queue.status) or LABELS.get(queue.type)
