"""Migrations lead to exactly the schema that the code expects, and a database of another release is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from act.db import meta, migrate
from act.db.engine import Database
from act.db.schema import metadata
from act.errors import ConfigError
from act.states import CEJOB
from act_atlas.states import PANDAJOB
from tests.conftest import BACKENDS
from tests.kit import Rows
from tests.services.mariadb import MariaDB


@pytest.fixture(params=BACKENDS)
def blank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'act.db'}")
    else:
        server: MariaDB = request.getfixturevalue("mariadb")
        server.drop_database("blank")
        server.create_database("blank")
        database = Database(server.url("blank"))
    yield database
    database.close()


def test_the_migrations_make_the_tables_of_the_code(database: Database) -> None:
    def compare(connection: Connection) -> list[Any]:
        options = {"compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert database.read("test", compare) == []


def test_the_views_show_what_people_look_for(database: Database) -> None:
    rows = Rows(database)
    (job,) = rows.attempts(1, [rows.place(flavour="arc")], rows.proxy(), flavour="arc")
    assert database.read("test", lambda c: list(c.scalars(text("SELECT id FROM arcjobs")))) == [job]
    assert database.read("test", lambda c: list(c.scalars(text("SELECT id FROM condorjobs")))) == []


def test_upgrading_twice_changes_nothing(blank: Database) -> None:
    first = migrate.upgrade(blank)
    identity = blank.read("test", meta.identity)
    tables = inspect(blank.engine).get_table_names()
    assert migrate.upgrade(blank) == first
    assert blank.read("test", meta.identity) == identity
    assert inspect(blank.engine).get_table_names() == tables
    migrate.check(blank)


def test_a_downgraded_database_is_upgraded_again(blank: Database) -> None:
    heads = migrate.upgrade(blank)
    own = migrate.config()
    with blank.engine.connect() as connection:
        own.attributes["connection"] = connection
        command.downgrade(own, "atlas_0001")
        connection.commit()
    assert "pandaqueues" not in inspect(blank.engine).get_table_names()
    assert migrate.upgrade(blank) == heads
    assert "pandaqueues" in inspect(blank.engine).get_table_names()


def test_a_database_without_the_schema_is_refused_with_what_to_do(blank: Database) -> None:
    with pytest.raises(ConfigError, match=r"has schema none.*actctl db upgrade"):
        migrate.check(blank)


def test_a_database_of_a_newer_release_is_refused_with_what_to_do(blank: Database) -> None:
    migrate.upgrade(blank)
    newer = text("UPDATE alembic_version SET version_num = 'core_9999' WHERE version_num LIKE 'core%'")
    blank.run("test", lambda c: c.execute(newer))
    for refused in (migrate.check, migrate.upgrade):
        with pytest.raises(ConfigError, match=r"core_9999.*install the newer release"):
            refused(blank)


def test_every_state_of_the_machines_is_legal_and_no_other(database: Database) -> None:
    def legal(connection: Connection, table: str) -> set[str]:
        return set(connection.scalars(text(f"SELECT name FROM {table}")))

    assert database.read("test", lambda c: legal(c, "cejob_states")) == set(CEJOB.states)
    assert database.read("test", lambda c: legal(c, "pandajob_states")) == set(PANDAJOB.states)
    rows = Rows(database)
    (job,) = rows.attempts(1, [rows.place()], rows.proxy())
    with pytest.raises(IntegrityError):
        rows.put([job], "dreaming")
