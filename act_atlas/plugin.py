"""What the core needs to know of this application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from sqlalchemy import Connection

from act.alarms.alarm import Alarm, Severity
from act.config import load_core
from act.doctor.check import Examination
from act.explain.moment import Moment
from act.explain.story import Asked, Story
from act.explain.words import span
from act.figures import QUEUE, TOWER, Figure
from act_atlas import db, supply
from act_atlas.config import ATLAS_FILE, load_atlas

LATE_S = 600.0  # several tries have failed then, and PanDA waits for a good deal longer


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

    def alarms(self, connection: Connection) -> Iterable[Alarm]:
        """Jobs that PanDA soon gives up, for want of a word from us."""
        panda = load_atlas().panda
        jobs, longest_s = db.unheard(
            connection,
            first_s=panda.first_heartbeat_s + LATE_S,
            next_s=panda.heartbeat_s + LATE_S,
            final_s=panda.final_grace_s + LATE_S,
            retry_s=panda.retry_s,
        )
        if jobs:
            text = f"PanDA has not heard of {jobs} jobs in time, of one for {span(longest_s)}: see the log of heartbeat"
            todo = "see whether PanDA answers ('actctl doctor') and what the daemon heartbeat says"
            yield Alarm("panda_unheard", Severity.CRITICAL, "", text, todo)

    def doctor(self, context: Any) -> Iterable[Examination]:
        """What it needs beside the core."""
        from act_atlas import doctor  # only actctl needs it

        return doctor.examinations(context)


application = Atlas()
