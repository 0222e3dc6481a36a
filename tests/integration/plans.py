"""How a database means to find rows, once there are as many as in a large tower."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from act.db import migrate
from act.db.engine import Database
from tests.services.mariadb import MariaDB

BIG = frozenset({"cejobs", "candidates", "pandajobs", "events", "jobspecs", "archive", "outputs", "clientjobs",
                 "clientfiles", "samples"})  # fmt: skip


@contextmanager
def filled(request: pytest.FixtureRequest, directory: Path, fill: Callable[[Database], None]) -> Iterator[Database]:
    """A database of the kind ``request.param`` with all tables, filled; its name is that of the directory."""
    if request.param == "sqlite":
        path = directory / "act.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        database = Database(f"sqlite:///{path}")
    else:
        server: MariaDB = request.getfixturevalue("mariadb")
        server.drop_database(directory.name)  # tests that were spread anew may come to a process once more
        server.create_database(directory.name)
        database = Database(server.url(directory.name))
        migrate.upgrade(database)
    fill(database)
    if not database.embedded:
        with database.engine.connect() as connection:
            connection.execute(text(f"ANALYZE TABLE {', '.join(sorted(BIG))}")).all()
    yield database
    database.close()


def numbers(database: Database, first: int, last: int) -> str:
    """As a table with the column ``n``, to select from."""
    if database.embedded:
        query = (
            f"WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s"
        )
        return f"({query}) AS numbers"
    return f"(SELECT seq AS n FROM seq_{first}_to_{last}) AS numbers"


def insert(database: Database, statements: Sequence[str]) -> None:
    """All in one transaction."""

    def write(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    database.run("fill", write)


class Enough(Exception):
    """Undo what the query did."""


def statements_of(database: Database, work: Callable[[Connection], Any]) -> list[tuple[str, Any]]:
    """What is sent for ``work``; it is undone."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, _context: object, _m: bool) -> None:
        seen.append((statement, parameters))

    def once(connection: Connection) -> None:
        work(connection)
        raise Enough

    event.listen(database.engine, "before_cursor_execute", note)
    with pytest.raises(Enough):
        database.run("test", once)
    event.remove(database.engine, "before_cursor_execute", note)
    return [(s, p) for s, p in seen if s.startswith(("SELECT", "UPDATE", "DELETE"))]


def bad_plan(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """What in the plan reads or sorts too much."""
    if connection.dialect.name == "sqlite":
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps = [r.detail for r in plan]
        return [s for s in steps if s.startswith("SCAN ") and s.split()[1] in BIG]
    plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
    bad = []
    for step in plan:
        extra = step.Extra or ""
        if step.table in BIG and step.type in ("ALL", "index"):
            bad.append(f"{step.type} of {step.table} {extra}")
        if "filesort" in extra:
            bad.append(f"filesort of {step.table} ({step.key}, {step.rows} rows)")
    return bad


def assert_good_plans(database: Database, work: Callable[[Connection], Any]) -> None:
    found = statements_of(database, work)
    assert found
    with database.engine.connect() as connection:
        bad = [(bad_plan(connection, s, p), s) for s, p in found]
    assert [f"{b}\n  in {s}" for b, s in bad if b] == []


def assert_counts_in_an_index(database: Database, work: Callable[[Connection], Any]) -> None:
    """All of an index may be read, in its order, but no row."""
    found = statements_of(database, work)
    assert found
    with database.engine.connect() as connection:
        assert [(bad_count(connection, s, p), s) for s, p in found if bad_count(connection, s, p)] == []


def bad_count(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """What in the plan reads rows of large tables, or sorts what it has read of them."""
    if connection.dialect.name == "sqlite":
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps = [r.detail for r in plan]
        return [s for s in steps if "USE TEMP" in s or (s.split()[1] in BIG and "COVERING INDEX" not in s)]
    plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
    read = [(r.table, r.Extra or "") for r in plan if r.table in BIG]
    return [f"{t}: {extra}" for t, extra in read if "Using index" not in extra or "filesort" in extra]
