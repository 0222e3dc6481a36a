"""What the core needs to know of this application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib import resources
from typing import Any

from sqlalchemy import Connection

from act.config import load_core
from act.interfaces import Operations
from act.xmlconfig import find
from act_atlas import db, supply
from act_atlas.config import ATLAS_FILE, ATLAS_VARIABLE, load_atlas

NAME = "atlas"


class Atlas:
    """PanDA as a source of jobs."""

    name = NAME
    config_file = ATLAS_FILE

    def check_config(self) -> str:
        """Read aCTConfigATLAS.xml, and see that it goes with aCTConfigARC.xml."""
        from act_atlas.daemons import validator  # only who checks needs it

        validator.check_config(load_core(), load_atlas())
        return str(find(ATLAS_FILE, ATLAS_VARIABLE))

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

    @cached_property
    def operations(self) -> Operations:
        """For operators."""
        from act_atlas.operations import PandaOperations  # most processes are daemons, which need nothing of it

        return PandaOperations()


application = Atlas()
