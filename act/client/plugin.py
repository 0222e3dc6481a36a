"""What the core needs to know of this application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib import resources
from typing import Any

from sqlalchemy import Connection

from act.client import db
from act.client.states import MAKERS
from act.client.tables import APP
from act.config import CORE_FILE, CORE_VARIABLE, load_core
from act.errors import ConfigError
from act.interfaces import Operations, plugins
from act.xmlconfig import find


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
        return str(find(CORE_FILE, CORE_VARIABLE))

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

    @cached_property
    def operations(self) -> Operations:
        """For operators."""
        from act.client.operations import ClientOperations  # most processes are daemons, which need nothing of it

        return ClientOperations()


application = Client()
