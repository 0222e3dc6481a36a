"""Bringing a database to the schema of this release: the core's revisions and those of every plugin."""

from __future__ import annotations

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from act.db import meta
from act.db.engine import Database
from act.errors import ConfigError, DatabaseBusy
from act.interfaces import plugins


def config() -> Config:
    """Alembic's configuration with the revisions of all plugins."""
    root = str(resources.files("act.db") / "migrations")
    own = Config()
    own.set_main_option("script_location", root)
    places = [f"{root}/versions", *(p.migrations() for p in plugins("act.app").values())]
    own.set_main_option("path_separator", "newline")
    own.set_main_option("version_locations", "\n".join(places))
    return own


def upgrade(database: Database) -> list[str]:
    """Migrate to the newest schema; returns the revisions in force. Doing so twice changes nothing."""
    own = config()
    try:
        with database.engine.connect() as connection:
            own.attributes["connection"] = connection
            command.upgrade(own, "heads")
            connection.commit()
    except DBAPIError as error:
        raise DatabaseBusy(f"the database {database.name} cannot be brought up to date: {error.orig}") from error
    database.run("initialise", _initialise)
    return sorted(database.read("revisions", _current))


def check(database: Database) -> None:
    """ConfigError if the schema is not that of this release."""
    wanted = set(ScriptDirectory.from_config(config()).get_heads())
    found = set(database.read("revisions", _current))
    if wanted != found:
        raise ConfigError(
            f"the database has schema {', '.join(sorted(found)) or 'none'}, this release needs "
            f"{', '.join(sorted(wanted))}: run 'actctl db upgrade'"
        )


def _current(connection: Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection).get_current_heads()


def _initialise(connection: Connection) -> None:
    meta.initialise(connection)
    for application in plugins("act.app").values():
        application.initialise(connection)
