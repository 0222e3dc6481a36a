"""What the core needs to know of this application."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from sqlalchemy import Connection

from act.alarms.alarm import Alarm
from act.client import db
from act.client.states import CLIENTJOB, MAKERS
from act.client.tables import APP, share_of
from act.config import CORE_FILE, load_core
from act.control.jobs import Filter, JobLine, Verb
from act.doctor.check import Examination
from act.errors import ConfigError
from act.explain.moment import Moment
from act.explain.story import Asked, Story
from act.figures import TOWER, USER, Figure
from act.interfaces import plugins
from act.model import PublishedLogs

MOST_SHARES = 100


class Client:
    """People as a source of jobs."""

    name = APP
    config_file = CORE_FILE

    def check_config(self) -> str:
        """The core's file is read already; here: that there are CEs of the types that users may choose."""
        known = sorted(plugins("act.ce"))
        for ce in load_core().users.ce:
            if ce.flavour not in known:
                raise ConfigError(f"users/ce {ce.name}: no CE type '{ce.flavour}' (installed: {', '.join(known)})")
        return CORE_FILE

    def daemons(self) -> Mapping[str, str]:
        """Name -> "module:Class"."""
        package = "act.client.daemons"
        makers = dict.fromkeys(MAKERS, f"{package}.client2ce:ClientToCE")
        return {**makers, "clientstatus": f"{package}.clientstatus:ClientStatus"}

    def flavours(self) -> Mapping[str, str]:
        """Daemon -> the CE type it makes attempts for."""
        return MAKERS

    def initialise(self, connection: Connection) -> None:
        """Fill the tables that hold constants."""
        db.initialise(connection)

    def migrations(self) -> str:
        """Directory of the Alembic revisions."""
        return str(resources.files("act.client") / "migrations")

    def commands(self) -> Iterable[Any]:
        """click commands for actctl."""
        return []

    def explain(self, connection: Connection, moment: Moment, asked: Asked, name: str) -> Story | None:
        """Why a job of somebody is as it is; its name is that of its row, ``client:<number>``."""
        from act.client import explain  # only who asks needs it

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
        from act.client import control  # only who operates needs it

        return control.control(connection, verb, ids, who=who, why=why, value=value)

    def alarms(self, connection: Connection) -> Iterable[Alarm]:
        """People ask; nobody waits to be told."""
        return []

    def doctor(self, context: Any) -> Iterable[Examination]:
        """What it needs beside the core."""
        from act.client import doctor  # only actctl needs it

        return doctor.examinations(context)


application = Client()
