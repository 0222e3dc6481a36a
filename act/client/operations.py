"""What operators see of people's jobs, and do to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from act.alarms.alarm import Alarm
from act.client import control, db, doctor, explain
from act.client.states import CLIENTJOB
from act.client.tables import share_of
from act.control.jobs import Filter, JobLine, Verb
from act.doctor.check import Examination
from act.explain.moment import Moment
from act.explain.story import Asked, Story
from act.figures import TOWER, USER, Figure
from act.model import PublishedLogs

MOST_SHARES = 100


class ClientOperations:
    """Everybody's jobs, for operators."""

    def explain(self, connection: Connection, moment: Moment, asked: Asked, name: str) -> Story | None:
        """Why a job of somebody is as it is; its name is that of its row, ``client:<number>``."""
        return explain.explain(connection, moment, name) if asked is Asked.ROW else None

    def figures(self, connection: Connection) -> Iterable[Figure]:
        """Jobs by state; those of each user by the state that their owner sees."""
        for user, shown, n in db.counts(connection):
            yield Figure(USER, user, shown, n)
        for state, n in db.totals(connection):
            yield Figure(TOWER, "", f"client {state}", n)

    def states(self) -> Sequence[str]:
        """From the begin of a submission to its end."""
        return CLIENTJOB.states

    def queues(self, connection: Connection) -> Collection[str]:
        """People choose CEs, not queues."""
        return ()

    def shares(self, connection: Connection, text: str) -> Mapping[str, str]:
        """Each user's, by the subject of their certificate or token."""
        found = {share_of(user.id): user.subject for user in db.everybody(connection, text, after=0, limit=MOST_SHARES)}
        number = text.rpartition("-")[2]
        if number.isdecimal() and text == share_of(int(number)) and (owner := db.owner(connection, int(number))):
            found[text] = owner
        return found

    def logs(self, connection: Connection, name: str) -> PublishedLogs | None:
        """What people's jobs leave is theirs, and published nowhere."""
        return None

    def find(self, connection: Connection, wanted: Filter, *, after: int, limit: int) -> Sequence[JobLine]:
        """Everybody's jobs; their names are as `explain` knows them, ``client:<number>``."""
        return db.look(connection, wanted, after=after, limit=limit)

    def control(
        self, connection: Connection, verb: Verb, ids: Sequence[int], *, who: str, why: str, value: Any = None
    ) -> dict[int, str]:
        """What operators may do to them."""
        return control.control(connection, verb, ids, who=who, why=why, value=value)

    def alarms(self, connection: Connection) -> Iterable[Alarm]:
        """People ask; nobody waits to be told."""
        return []

    def doctor(self, context: Any) -> Iterable[Examination]:
        """What it needs beside the core."""
        return doctor.examinations(context)
