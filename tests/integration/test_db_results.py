"""What the store has of attempts' files, and what people look at, in both kinds of databases."""

from __future__ import annotations

from typing import Any

import pytest

from act.db import results
from act.db.engine import Database
from act.db.results import ResultFile, Watch
from act.db.schema import cejobs as table
from tests.kit import Rows, together
from tests.tower import pass_time

ONE = ResultFile("out/a", 5_000_000_000, "0" * 64)


@pytest.fixture
def rows(database: Database) -> Rows:
    return Rows(database)


@pytest.fixture
def lane(rows: Rows) -> tuple[int, int]:
    """A CE and a proxy, with the attempts 1 and 2 running there."""
    place, proxy_id = rows.place(), rows.proxy()
    rows.at_ce(2, "running", place=place, proxy_id=proxy_id)
    return rows.ce_of(place), proxy_id


def attempts(rows: Rows) -> list[int]:
    return list(rows.db.read("t", lambda c: c.scalars(table.select().order_by(table.c.id))))


def run(rows: Rows, call: Any, *arguments: Any, **more: Any) -> Any:
    return rows.db.run("t", lambda c: call(c, *arguments, **more))


def test_a_file_is_noted_once_as_it_was_brought_last(rows: Rows, lane: tuple[int, int]) -> None:
    one, two = attempts(rows)
    again = ResultFile(ONE.name, 0, "1" * 64)
    run(rows, results.note, one, [ONE])
    run(rows, results.note, two, [ONE])
    run(rows, results.note, one, [again])
    assert [run(rows, results.brought, i) for i in (one, two)] == [[again], [ONE]]


def test_names_that_differ_in_anything_are_different_files(rows: Rows, lane: tuple[int, int]) -> None:
    names = sorted(["a", "A", "a ", " a", "ä", "a\u0308", "ß", "ss", "\U0001f600", "x" * results.LONGEST_NAME])
    one, _ = attempts(rows)
    run(rows, results.note, one, [ResultFile(name, 1, "0" * 64) for name in names])
    for name in names:
        run(rows, results.watch, one, name, 60)
    assert sorted(f.name for f in run(rows, results.brought, one)) == names
    assert {w.name for w in run(rows, results.take_due, *lane, limit=100, for_s=30)} == set(names)


def test_what_is_noted_goes_with_the_attempt(rows: Rows, lane: tuple[int, int]) -> None:
    one, _ = attempts(rows)
    run(rows, results.note, one, [ONE])
    run(rows, results.watch, one, ONE.name, 60)
    rows.db.run("t", lambda c: c.execute(table.delete().where(table.c.id == one)))
    assert (run(rows, results.brought, one), run(rows, results.watched, one, ONE.name)) == ([], None)


def test_a_wish_is_taken_by_one_and_comes_again_when_it_is_due(rows: Rows, lane: tuple[int, int]) -> None:
    one, _ = attempts(rows)
    assert run(rows, results.watching_lanes, "fake") == []
    together(*[lambda: run(rows, results.watch, one, "log", 60)] * 4)
    assert run(rows, results.watching_lanes, "fake") == [lane]
    expected = Watch(one, f"job{one}", "log", None)
    assert run(rows, results.take_due, *lane, limit=5, for_s=30) == [expected]
    assert run(rows, results.take_due, *lane, limit=5, for_s=30) == []
    run(rows, results.seen, expected, 7, 2.0)
    assert run(rows, results.watched, one, "log").size == 7
    pass_time(rows.db, 3)
    assert [w.size for w in run(rows, results.take_due, *lane, limit=5, for_s=30)] == [7]
    run(rows, results.seen, expected, None, 2.0)
    assert run(rows, results.watched, one, "log").size == 7


@pytest.mark.parametrize(("state", "stays"), [
    ("tosubmit", True), ("running", True), ("finished", True), ("tofetch", True), ("done", False), ("lost", False),
    ("toclean", False), ("archived", False),
])  # fmt: skip
def test_a_wish_is_over_when_all_there_will_be_is_in_the_store(
    rows: Rows, lane: tuple[int, int], state: str, stays: bool
) -> None:
    one, two = attempts(rows)
    for i in (one, two):
        run(rows, results.watch, i, "log", 60)
    rows.put([one], state)
    assert run(rows, results.forget_over, *lane) == ([] if stays else [(one, "log")])
    pass_time(rows.db, 61)
    assert (two, "log") in run(rows, results.forget_over, *lane)
    assert run(rows, results.watching_lanes, "fake") == []
