"""A database in trouble: what can be repeated is repeated, what cannot is said, and nothing is done twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from act.db.engine import Database
from act.db.schema import meta
from act.errors import ConfigError, DatabaseBusy, OutcomeUnknown
from tests.services.mariadb import MariaDB


@pytest.fixture
def on_mariadb(mariadb: MariaDB, mariadb_url: str) -> Iterator[Database]:
    database = Database(mariadb_url)
    database.run("test", lambda c: c.execute(meta.delete().where(meta.c.name.like("t%"))))
    yield database
    mariadb.thaw()
    mariadb.start()
    database.close()


def put(connection: Connection, name: str, value: str = "1") -> None:
    connection.execute(insert(meta).values(name=name, value=value))


def value(database: Database, name: str) -> str | None:
    return database.read("test", lambda c: c.execute(select(meta.c.value).where(meta.c.name == name)).scalar())


def add(connection: Connection, name: str) -> None:
    now = connection.execute(select(meta.c.value).where(meta.c.name == name).with_for_update()).scalar_one()
    connection.execute(update(meta).where(meta.c.name == name).values(value=str(int(now) + 1)))


@pytest.mark.mariadb
def test_of_two_transactions_in_a_deadlock_both_come_through_once(on_mariadb: Database) -> None:
    on_mariadb.run("test", lambda c: (put(c, "t1", "0"), put(c, "t2", "0")))
    tries: list[str] = []
    meeting = threading.Barrier(2)

    def work(first: str, second: str) -> None:
        def crosswise(connection: Connection) -> None:
            tries.append(first)
            add(connection, first)
            if tries.count(first) == 1:
                meeting.wait(10)
            add(connection, second)

        on_mariadb.run("test", crosswise)

    threads = [threading.Thread(target=work, args=names) for names in (("t1", "t2"), ("t2", "t1"))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert (value(on_mariadb, "t1"), value(on_mariadb, "t2")) == ("2", "2")
    assert len(tries) == 3  # one of them was the victim, and was run again


@pytest.mark.mariadb
def test_a_server_that_restarts_between_transactions_is_not_noticed(on_mariadb: Database, mariadb: MariaDB) -> None:
    on_mariadb.run("test", lambda c: put(c, "t1"))
    mariadb.kill()
    mariadb.start()
    assert value(on_mariadb, "t1") == "1"
    on_mariadb.run("test", lambda c: add(c, "t1"))
    assert value(on_mariadb, "t1") == "2"


@pytest.mark.mariadb
def test_a_server_that_dies_within_a_transaction_has_done_nothing_of_it(on_mariadb: Database, mariadb: MariaDB) -> None:
    runs = []

    def work(connection: Connection) -> None:
        runs.append(1)
        put(connection, "t1")
        if len(runs) == 1:
            mariadb.kill()
            mariadb.start()
        put(connection, "t2")

    on_mariadb.run("test", work)
    assert len(runs) == 2
    assert (value(on_mariadb, "t1"), value(on_mariadb, "t2")) == ("1", "1")


@pytest.mark.mariadb
def test_a_server_that_is_away_makes_the_database_busy_until_it_is_back(on_mariadb: Database, mariadb: MariaDB) -> None:
    mariadb.kill()
    with pytest.raises(DatabaseBusy, match="cannot be used"):
        on_mariadb.run("test", lambda c: put(c, "t1"))
    with pytest.raises(DatabaseBusy):
        value(on_mariadb, "t1")
    mariadb.start()
    assert value(on_mariadb, "t1") is None
    on_mariadb.run("test", lambda c: put(c, "t1"))


@pytest.mark.mariadb
@pytest.mark.parametrize("done", [True, False])
def test_a_commit_that_breaks_off_is_told_and_not_run_again(
    on_mariadb: Database, mariadb: MariaDB, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends while COMMIT is under way: with (done) or without the server having carried it out."""
    runs = []

    def work(connection: Connection) -> None:
        runs.append(1)
        put(connection, "t1")

    class Cut:
        """The driver's commit, on a connection that is cut."""

        def __init__(self, dialect: Any) -> None:
            self.commit = dialect.do_commit

        def __call__(self, connection: Any) -> None:
            if done:
                self.commit(connection)
            mariadb.execute(f"KILL {connection.thread_id()}")
            self.commit(connection)
            connection.ping()

    monkeypatch.setattr(on_mariadb.engine.dialect, "do_commit", Cut(on_mariadb.engine.dialect))
    with pytest.raises(OutcomeUnknown, match="COMMIT"):
        on_mariadb.run("test", work)
    monkeypatch.undo()
    assert len(runs) == 1
    assert value(on_mariadb, "t1") == ("1" if done else None)


def test_what_the_work_raises_undoes_its_transaction_and_is_passed_on(database: Database) -> None:
    def work(connection: Connection) -> None:
        put(connection, "t1")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        database.run("test", work)
    assert value(database, "t1") is None


def test_two_writers_on_one_database_wait_for_each_other(database: Database) -> None:
    database.run("test", lambda c: put(c, "t1", "0"))
    threads = [
        threading.Thread(target=lambda: [database.run("test", lambda c: add(c, "t1")) for _ in range(20)])
        for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert value(database, "t1") == "80"


def test_a_reader_is_not_held_up_by_a_writer(database: Database) -> None:
    def work(connection: Connection) -> str | None:
        put(connection, "t1")
        return value(database, "t1")

    assert database.run("test", work) is None


def test_a_database_in_memory_is_refused_as_processes_could_not_share_it() -> None:
    with pytest.raises(ConfigError, match="file that all processes share"):
        Database("sqlite://")
