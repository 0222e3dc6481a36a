"""An upgrade finds jobs in the middle of their lives and loses none; one that is killed is given again.

The older database is made by taking the newer revisions back: no clone of the repository needs its history for that.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, event, inspect

from act.db import migrate
from act.db.engine import Database
from act.db.schema import metadata
from act.errors import ConfigError
from tests.conftest import BACKENDS
from tests.fakes import Site, unreachable
from tests.power import Power
from tests.services.mariadb import MariaDB
from tests.tower import Tower

FIRST = ("core_0001", "atlas_0001")
CHANGES = ("CREATE", "DROP", "ALTER", "UPDATE", "INSERT")


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database with the schema of this release, which no other test uses."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'act.db'}"
    else:
        server: MariaDB = request.getfixturevalue("mariadb")
        server.drop_database("upgraded")
        server.create_database("upgraded")
        url = server.url("upgraded")
    database = Database(url)
    migrate.upgrade(database)
    database.close()
    yield url


def make_old(url: str) -> None:
    """The schema of the first release, with the rows that it can hold."""
    database, own = Database(url, pool=1), migrate.config()
    with database.engine.connect() as connection:
        own.attributes["connection"] = connection
        for revision in FIRST:
            command.downgrade(own, revision)
        connection.commit()
    assert not {"orders", "results", "pandaqueues"} & set(inspect(database.engine).get_table_names())
    database.close()


def upgrade_killed_after(url: str, changes: int) -> bool:
    """Upgrade in a process that is killed once it has made so many changes; whether it came so far."""
    pid = os.fork()
    if not pid:
        made: list[str] = []

        def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.lstrip().startswith(CHANGES):
                made.append(statement)
            if len(made) == changes:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "after_cursor_execute", count)
        try:
            migrate.upgrade(Database(url))
            os._exit(0)
        finally:  # this process must not go on with the tests
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_an_upgrade_that_was_killed_after_any_change_is_given_again(url: str) -> None:
    make_old(url)
    kills = 1
    while upgrade_killed_after(url, kills):
        kills += 1
    assert kills > 5
    database = Database(url)
    migrate.check(database)

    def compare(connection: Any) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    assert database.read("test", compare) == []
    database.close()


def test_jobs_in_the_middle_of_their_lives_are_run_once_by_the_next_release(url: str, tmp_path: Path) -> None:
    site = Site("https://ce1.example.org/arex", Power())
    tower = Tower(tmp_path, url, [site])
    finished = tower.submit()
    for _ in range(2):
        tower.pass_time(70)
        tower.once("submitter", "status", "fetcher")
        site.tick()
    running = tower.submit()
    tower.once("submitter")
    site.tick()
    created = tower.submit()
    site.fails("arm", unreachable())
    tower.once("submitter")
    submitting = tower.submit()
    site.fails("create", unreachable(), "after")
    tower.once("submitter")
    waiting = tower.submit()
    jobs = [*finished, *running, *created, *submitting, *waiting]
    before = tower.states(jobs)
    assert before[1:] == ["submitted", "created", "submitting", "tosubmit"]
    tower.close()
    make_old(url)

    database = Database(url)
    with pytest.raises(ConfigError, match=r"has schema atlas_0001.*needs.*actctl db upgrade"):
        migrate.check(database)
    migrate.upgrade(database)
    database.close()
    tower = Tower(tmp_path, url, [site])
    assert tower.states(jobs) == before
    tower.settle()
    assert set(tower.states(jobs)) == {"done"}
    assert tower.runs() == [1] * len(jobs)
    tower.close()
