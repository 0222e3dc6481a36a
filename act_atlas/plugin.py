"""What the core needs to know of this application."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

from sqlalchemy import Connection

from act.alarms.alarm import Alarm
from act.config import load_core
from act.control.jobs import Filter, JobLine, Verb
from act.doctor.check import Examination
from act.explain.moment import Moment
from act.explain.story import Asked, Story
from act.figures import QUEUE, TOWER, Figure
from act.model import PublishedLogs
from act_atlas import alarms, db, joblog, supply
from act_atlas.config import ATLAS_FILE, load_atlas
from act_atlas.states import SHOWN


class Atlas:
    """PanDA as a source of jobs."""

    name = "atlas"
    config_file = ATLAS_FILE

    def check_config(self) -> str:
        """Read aCTConfigATLAS.xml, and see that it goes with aCTConfigARC.xml."""
        from act_atlas.daemons import validator  # only who checks needs it

        validator.check_config(load_core(), load_atlas())
        return ATLAS_FILE

    def daemons(self) -> Mapping[str, str]:
        """Name -> "module:Class"."""
        package = "act_atlas.daemons"
        return {
            "cric": f"{package}.cric:Cric",
            "getjob": f"{package}.getjob:GetJob",
            "panda2arc": f"{package}.panda2ce:PandaToCE",
            "panda2condor": f"{package}.panda2ce:PandaToCE",
            "pandastatus": f"{package}.pandastatus:PandaStatus",
            "validator": f"{package}.validator:Validator",
            "heartbeat": f"{package}.heartbeat:Heartbeat",
            "archiver": f"{package}.archiver:Archiver",
        }

    def flavours(self) -> Mapping[str, str]:
        """Daemon -> the CE type it makes attempts for."""
        return supply.MAKERS

    def initialise(self, connection: Connection) -> None:
        """Fill the tables that hold constants."""
        db.initialise(connection)

    def migrations(self) -> str:
        """Directory of the Alembic revisions."""
        return str(resources.files("act_atlas") / "migrations")

    def commands(self) -> Iterable[Any]:
        """click commands for actctl."""
        from act_atlas import cli, ctl  # only actctl needs them
        from act_atlas.demo import commands

        return [cli.convert, ctl.jobs, commands.demo, commands.simulate]

    def explain(self, connection: Connection, moment: Moment, asked: Asked, name: str) -> Story | None:
        """Why a PanDA job or a PanDA queue is as it is."""
        from act_atlas import explain  # only actctl needs it

        return explain.explain(connection, moment, asked, name)

    def figures(self, connection: Connection) -> Iterable[Figure]:
        """Jobs by state, of each queue and of all; what PanDA should have heard by now."""
        total: dict[str, int] = {}
        for queue, state, n in db.counts(connection):
            total[state] = total.get(state, 0) + n
            yield Figure(QUEUE, queue, state, n)
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
        from act_atlas import explain  # only who gives orders needs it

        return explain.queues(connection)

    def shares(self, connection: Connection, text: str) -> Mapping[str, str]:
        """The jobs of each queue are a share."""
        return {queue: f"PanDA queue {queue}" for queue in self.queues(connection) if text in queue}

    def logs(self, connection: Connection, name: str) -> PublishedLogs | None:
        """What the joblog has of a job; its name is its PanDA id."""
        return joblog.published(connection, name)

    def find(self, connection: Connection, wanted: Filter, *, after: int, limit: int) -> Sequence[JobLine]:
        """Jobs by PanDA id, and by what else is said."""
        return db.look(connection, self.name, wanted, after=after, limit=limit)

    def control(
        self, connection: Connection, verb: Verb, ids: Sequence[int], *, who: str, why: str, value: Any = None
    ) -> dict[int, str]:
        """What operators may do to them."""
        from act_atlas import control  # only who operates needs it

        return control.control(connection, verb, ids, who=who, why=why, value=value)

    def alarms(self, connection: Connection) -> Iterable[Alarm]:
        """What PanDA does not tell us, and what we do not tell PanDA."""
        return alarms.of_panda(connection, load_atlas().panda)

    def doctor(self, context: Any) -> Iterable[Examination]:
        """What it needs beside the core."""
        from act_atlas import doctor  # only actctl needs it

        return doctor.examinations(context)


application = Atlas()
