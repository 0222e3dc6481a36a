"""What operators see of PanDA jobs, and do to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from act.alarms.alarm import Alarm
from act.control.jobs import Filter, JobLine, Verb
from act.doctor.check import Examination
from act.explain.moment import Moment
from act.explain.story import Asked, Story
from act.figures import QUEUE, SLOTS, TOWER, Figure
from act.model import PublishedLogs
from act_atlas import alarms, control, db, doctor, explain, joblog
from act_atlas.config import load_atlas
from act_atlas.plugin import NAME
from act_atlas.states import RUNNING, SHOWN


class PandaOperations:
    """PanDA jobs, for operators."""

    def explain(self, connection: Connection, moment: Moment, asked: Asked, name: str) -> Story | None:
        """Why a PanDA job or a PanDA queue is as it is."""
        return explain.explain(connection, moment, asked, name)

    def figures(self, connection: Connection) -> Iterable[Figure]:
        """Jobs by state, of each queue and of all; the slots of each queue; what PanDA should have heard by now."""
        total: dict[str, int] = {}
        for queue, state, n, cores in db.counts(connection):
            total[state] = total.get(state, 0) + n
            yield Figure(QUEUE, queue, state, n)
            if state == RUNNING:
                yield Figure(QUEUE, queue, SLOTS, cores)
        for state, n in total.items():
            yield Figure(TOWER, "", f"panda {state}", n)
        due, oldest_s = db.heartbeats_due(connection)
        yield Figure(TOWER, "", "heartbeats due", due)
        yield Figure(TOWER, "", "oldest heartbeat due s", oldest_s)

    def states(self) -> Sequence[str]:
        """As operators know them."""
        return SHOWN

    def queues(self, connection: Connection) -> Collection[str]:
        """Of CRIC, of the local settings, and those that jobs are of."""
        return explain.queues(connection)

    def shares(self, connection: Connection, text: str) -> Mapping[str, str]:
        """The jobs of each queue are a share."""
        return {queue: f"PanDA queue {queue}" for queue in self.queues(connection) if text in queue}

    def logs(self, connection: Connection, name: str) -> PublishedLogs | None:
        """What the joblog has of a job; its name is its PanDA id."""
        return joblog.published(connection, name)

    def find(self, connection: Connection, wanted: Filter, *, after: int, limit: int) -> Sequence[JobLine]:
        """Jobs by PanDA id, and by what else is said."""
        return db.look(connection, NAME, wanted, after=after, limit=limit)

    def control(
        self, connection: Connection, verb: Verb, ids: Sequence[int], *, who: str, why: str, value: Any = None
    ) -> dict[int, str]:
        """What operators may do to them."""
        return control.control(connection, verb, ids, who=who, why=why, value=value)

    def alarms(self, connection: Connection) -> Iterable[Alarm]:
        """What PanDA does not tell us, and what we do not tell PanDA."""
        return alarms.of_panda(connection, load_atlas().panda)

    def doctor(self, context: Any) -> Iterable[Examination]:
        """What it needs beside the core."""
        return doctor.examinations(context)
