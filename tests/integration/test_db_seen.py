"""Applications learn of every change of their attempts, also of one that comes while they look."""

from __future__ import annotations

import pytest

from act.db import cejobs
from act.db.engine import Database
from act.db.moves import Move
from act.states import Event
from tests.kit import Rows


@pytest.fixture
def rows(database: Database) -> Rows:
    return Rows(database)


@pytest.fixture
def job(rows: Rows) -> int:
    return rows.at_ce(1, "submitted", place=rows.place(), proxy_id=rows.proxy())[0]


def unseen(rows: Rows, app: str = "app") -> dict[int, int]:
    found = rows.db.read("t", lambda c: cejobs.unseen(c, app, limit=100, lock=False))
    return {r.id: r.version for r in found}


def moved(rows: Rows, job: int, state: str, event: str) -> None:
    rows.db.run("t", lambda c: cejobs.move(c, [Move(job, state, event)], who="status"))


def test_a_new_attempt_is_no_news_to_whoever_made_it(rows: Rows, job: int) -> None:
    assert unseen(rows) == {}


def test_a_move_is_news_until_it_is_acknowledged(rows: Rows, job: int) -> None:
    moved(rows, job, "submitted", Event.RUNNING)
    seen = unseen(rows)
    assert set(seen) == {job}
    rows.db.run("t", lambda c: cejobs.acknowledge(c, seen))
    assert unseen(rows) == {}


def test_news_are_for_the_application_that_owns_the_attempt(rows: Rows, job: int) -> None:
    moved(rows, job, "submitted", Event.RUNNING)
    assert unseen(rows, "another") == {}


def test_a_change_between_reading_and_acknowledging_stays_news(rows: Rows, job: int) -> None:
    other = Rows(Database(rows.db.url))
    moved(rows, job, "submitted", Event.RUNNING)
    seen = unseen(rows)
    moved(other, job, "running", Event.FINISHED)
    rows.db.run("t", lambda c: cejobs.acknowledge(c, seen))
    other.db.close()
    assert unseen(rows) == {job: seen[job] + 1}


def test_a_change_while_the_application_acts_waits_or_stays_news(rows: Rows, job: int) -> None:
    """Read with a lock and acknowledge in one transaction: what the other one writes comes after, and is not lost."""
    moved(rows, job, "submitted", Event.RUNNING)

    def act(connection: object) -> None:
        found = cejobs.unseen(connection, "app", limit=10, lock=True)  # type: ignore[arg-type]
        assert [r.id for r in found] == [job]
        cejobs.acknowledge(connection, {r.id: r.version for r in found})  # type: ignore[arg-type]

    rows.db.run("t", act)
    moved(rows, job, "running", Event.FINISHED)
    assert set(unseen(rows)) == {job}


def test_many_versions_are_acknowledged_at_once(rows: Rows) -> None:
    ids = rows.at_ce(30, "submitted", place=rows.place(), proxy_id=rows.proxy())
    for n, job in enumerate(ids):
        for _ in range(n % 3):
            moved(rows, job, "submitted", Event.WAITING)
    for job in ids:
        moved(rows, job, "submitted", Event.RUNNING)
    seen = unseen(rows)
    assert len(seen) == 30 and len(set(seen.values())) == 3
    rows.db.run("t", lambda c: cejobs.acknowledge(c, seen))
    assert unseen(rows) == {}
