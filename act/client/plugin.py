"""What the core needs to know of this application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from sqlalchemy import Connection

from act.alarms.alarm import Alarm
from act.client import db
from act.client.states import MAKERS
from act.client.tables import APP
from act.config import CORE_FILE, load_core
from act.doctor.check import Examination
from act.errors import ConfigError
from act.explain.moment import Moment
from act.explain.story import Asked, Story
from act.figures import TOWER, USER, Figure
from act.interfaces import plugins


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
        """Jobs by state, of each user and of all."""
        total: dict[str, int] = {}
        for user, state, n in db.counts(connection):
            total[state] = total.get(state, 0) + n
            yield Figure(USER, user, state, n)
        for state, n in total.items():
            yield Figure(TOWER, "", f"client {state}", n)

    def alarms(self, connection: Connection) -> Iterable[Alarm]:
        """People ask; nobody waits to be told."""
        return []

    def doctor(self, context: Any) -> Iterable[Examination]:
        """What it needs beside the core."""
        from act.client import doctor  # only actctl needs it

        return doctor.examinations(context)


application = Client()
