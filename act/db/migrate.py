"""Bringing a database to the schema of this release: the core's revisions and those of every plugin.

An upgrade that was killed is given again. SQLite has undone the revision then. MariaDB has kept what it had done of it,
as it commits each change of a table for itself; so there a change that was made before does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from act.db import meta
from act.db.engine import Database
from act.errors import ConfigError, DatabaseBusy
from act.interfaces import plugins

CHANGE_S = 86400  # an index of a table with many millions of rows takes many minutes
_REPEATABLE = [
    (re.compile(r"^\s*CREATE (TABLE|VIEW|INDEX|UNIQUE INDEX) (?!IF )"), r"CREATE \1 IF NOT EXISTS "),
    (re.compile(r"^\s*DROP (TABLE|VIEW|INDEX) (?!IF )"), r"DROP \1 IF EXISTS "),
    (re.compile(r"^(\s*ALTER TABLE \S+) ADD COLUMN (?!IF )"), r"\1 ADD COLUMN IF NOT EXISTS "),
    (re.compile(r"^(\s*ALTER TABLE \S+) DROP COLUMN (?!IF )"), r"\1 DROP COLUMN IF EXISTS "),
]


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
    """Migrate to the newest schema; returns the revisions in force. Doing so twice changes nothing.

    Raises ConfigError if a newer release made the schema, DatabaseBusy if it broke off: give it again.
    """
    own = config()
    _refuse_newer(own, database.read("revisions", _current))
    patient = Database(database.url, pool=1, answer_s=CHANGE_S)
    if not patient.embedded:
        event.listen(patient.engine, "before_cursor_execute", _repeatable, retval=True)
    try:
        with patient.engine.connect() as connection:
            own.attributes["connection"] = connection
            command.upgrade(own, "heads")
            connection.commit()
    except DBAPIError as error:
        raise DatabaseBusy(f"the database {database.name} cannot be brought up to date: {error.orig}") from error
    finally:
        patient.close()
    database.run("initialise", _initialise)
    return sorted(database.read("revisions", _current))


def check(database: Database) -> None:
    """ConfigError if the schema is not that of this release."""
    own = config()
    wanted = set(ScriptDirectory.from_config(own).get_heads())
    found = set(database.read("revisions", _current))
    _refuse_newer(own, found)
    if wanted != found:
        raise ConfigError(
            f"the database has schema {', '.join(sorted(found)) or 'none'}, this release needs "
            f"{', '.join(sorted(wanted))}: run 'actctl db upgrade'"
        )


def _refuse_newer(own: Config, found: Iterable[str]) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(own).walk_revisions()}
    if newer := set(found) - known:
        raise ConfigError(
            f"the database has schema {', '.join(sorted(newer))}, which this release does not know: install the newer "
            "release that made it, or restore the backup from before that upgrade"
        )


def _repeatable(
    connection: Connection, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    """Alembic's statement, so that it may be given twice: in words of MariaDB's own, which MySQL does not know."""
    for plain, instead in _REPEATABLE if getattr(connection.dialect, "is_mariadb", False) else ():
        statement = plain.sub(instead, statement, count=1)
    return statement, parameters


def _current(connection: Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection).get_current_heads()


def _initialise(connection: Connection) -> None:
    meta.initialise(connection)
    for application in plugins("act.app").values():
        application.initialise(connection)
