"""Fixtures of all suites: people, and databases with the schema of this release, on SQLite and on a private MariaDB.

Every test gets a database as good as new. On SQLite it is a copy of a migrated file; on MariaDB, where migrating
takes a second, the rows of the test before are deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import text

from act.db import migrate, schema
from act.db.engine import Database
from tests.needs import need
from tests.people import People
from tests.services.mariadb import MariaDB

BACKENDS = ["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)]
_CONSTANT = {"cejob_states", "clientjob_states", "pandajob_states"}


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A server of this test process; who kills it starts it again."""
    need(MariaDB.installed())
    with MariaDB() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_url(mariadb: MariaDB) -> str:
    """A migrated database on it."""
    mariadb.create_database("act")
    _migrate(mariadb.url("act"))
    return mariadb.url("act")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy."""
    path = tmp_path_factory.mktemp("template") / "act.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Makes databases as good as new, by kind of server; on MariaDB it is always the same one."""
    numbers = count()

    def make(backend: str) -> str:
        if backend == "sqlite":
            path = tmp_path / f"act{next(numbers) or ''}.db"
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
            return f"sqlite:///{path}"
        url: str = request.getfixturevalue("mariadb_url")
        _empty(url)
        return url

    return make


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """A database as good as new, on each kind of server."""
    return new_database(request.param)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, opened."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    """A CA, and people with proxies."""
    return People(tmp_path_factory.mktemp("people"))


def _migrate(url: str) -> None:
    database = Database(url)
    migrate.upgrade(database)
    database.close()


def _empty(url: str) -> None:
    database = Database(url, pool=1)
    with database.engine.begin() as connection:
        connection.execute(text("SET foreign_key_checks=0"))
        for table in schema.metadata.sorted_tables:
            if table.name not in _CONSTANT:
                connection.execute(table.delete())
    migrate.upgrade(database)
    database.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """run.sh goes by groups: a test without one would never run."""
    for item in items:
        if item.get_closest_marker("real") and not item.get_closest_marker("group"):
            raise pytest.UsageError(f"{item.nodeid} is marked real, but not with a group (see setup.cfg)")
