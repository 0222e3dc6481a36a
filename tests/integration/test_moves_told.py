"""Changes of jobs' states are counted and logged when they are in force, and never else; so are calls to CEs."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import Connection, select

from act import metrics
from act.daemons.runner import Runner
from act.db import cejobs
from act.db.engine import NOW, Database
from act.db.moves import Move
from act.db.schema_operating import cecalls
from act.errors import DatabaseBusy
from act.log import MOVES
from act.states import Event
from tests.integration.conftest import MakeTower
from tests.kit import Rows
from tests.tower import Tower


@pytest.fixture
def rows(database: Database) -> Rows:
    return Rows(database)


@pytest.fixture
def jobs(rows: Rows) -> list[int]:
    """Attempts that run at a CE."""
    return rows.at_ce(2, "running", place=rows.place(), proxy_id=rows.proxy())


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was counted, once the rows are there."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(metrics, "moved", lambda *what: found.append(what))
    monkeypatch.setattr(metrics, "not_moved", lambda *what: found.append(("not", *what)))
    return found


def finish(connection: Connection, jobs: list[int]) -> dict[int, str]:
    moves = [Move(i, "running", Event.FINISHED, "the CE says so") for i in jobs]
    return cejobs.move(connection, moves, who="status-fake")


def test_moves_are_counted_and_logged_with_who_and_why(
    rows: Rows, jobs: list[int], counted: list[tuple[Any, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, MOVES):
        rows.db.run("test", lambda c: finish(c, jobs))
    assert counted == [("cejob", "finished", 2)]
    assert caplog.messages[0] == f"cejob {jobs[0]}: running -> finished by status-fake: the CE says so"
    fields = caplog.records[0].__dict__["fields"]
    wanted = {"kind": "cejob", "job": jobs[0], "source": "running", "target": "finished", "who": "status-fake"}
    assert fields.items() >= wanted.items()


def test_a_move_that_is_undone_is_neither_counted_nor_logged(
    rows: Rows, jobs: list[int], counted: list[tuple[Any, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    def undone(connection: Connection) -> None:
        finish(connection, jobs)
        raise DatabaseBusy("something else went wrong")

    with caplog.at_level(logging.INFO, MOVES), pytest.raises(DatabaseBusy):
        rows.db.run("test", undone)
    assert (counted, caplog.messages) == ([], [])


def test_what_kept_a_row_from_moving_is_counted(rows: Rows, jobs: list[int], counted: list[tuple[Any, ...]]) -> None:
    rows.put(jobs[:1], "running", claimed_by="other", claimed_until=NOW + 60)
    elsewhere = Move(jobs[1], "submitted", Event.RUNNING)
    seen_before = Move(jobs[1], "running", Event.FINISHED, version=99)
    for moves in ([Move(jobs[0], "running", Event.FINISHED), elsewhere], [seen_before]):
        rows.db.run("test", lambda c, moves=moves: cejobs.move(c, moves, who="status"))  # type: ignore[misc]
    assert counted == [("not", "cejob", "claim"), ("not", "cejob", "state"), ("not", "cejob", "version")]


def test_calls_to_ces_are_added_up_in_the_database(new_tower: MakeTower) -> None:
    tower = new_tower()
    for _ in range(2):
        tower.submit()
        report(tower, "submitter")
    told = {r.call: r for r in tower.db.read("test", lambda c: c.execute(select(cecalls)).all())}
    assert (told["create"].calls, told["create"].errors, told["arm"].calls) == (2, 0, 2)
    assert told["create"].daemon == "submitter-fake"
    assert told["create"].seconds > 0


def report(tower: Tower, kind: str) -> None:
    """A pass and a report of a daemon."""
    runner = Runner(tower.daemon(kind), threads=2, lane_deadline_s=60)
    runner.once()
    runner._report()


def test_calls_that_cannot_be_written_down_are_written_down_later(
    new_tower: MakeTower, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = new_tower()
    tower.submit()
    with monkeypatch.context() as broken:
        broken.setenv("ACT_FAULT", "tx.report:before:fail")
        report(tower, "submitter")
    report(tower, "submitter")
    calls = tower.db.read("test", lambda c: c.execute(select(cecalls).where(cecalls.c.call == "create")).one())
    assert calls.calls == 1
