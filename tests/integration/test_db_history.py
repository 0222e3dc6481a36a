"""Figures over time: what is written is read again, minutes become hours and days, and nothing grows for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import func, select

from act.db import history, meta
from act.db.engine import Database
from act.db.history import DAY_S, HOUR_S, MINUTE_S, Keep, Sample
from act.db.schema_operating import samples, series
from act.figures import CE, QUEUE, TOWER, USER, Figure
from tests.kit import together

BEGIN = 20_000 * DAY_S  # a midnight
FOR_EVER = Keep(1e12, 1e12, 1e12)


class Book:
    """Figures of one database, as the report daemon keeps them."""

    def __init__(self, database: Database) -> None:
        self.db = database

    def write(self, at: float, **values: Mapping[str, float]) -> None:
        """A minute; ``tower={...}``, and CEs by name."""
        figures = [
            Figure(TOWER if name == "tower" else CE, "" if name == "tower" else name, key, value)
            for name, of_series in values.items()
            for key, value in of_series.items()
        ]
        self.db.run("t", lambda c: history.write(c, at, figures))

    def compact(self, at: float, keep: Keep = FOR_EVER, times: int = 1) -> None:
        for _ in range(times):
            self.db.run("t", lambda c: history.compact(c, at, keep))

    def read(self, name: str = "", step_s: int = MINUTE_S, since: float = 0.0) -> list[Sample]:
        scope = CE if name else TOWER
        return self.db.read("t", lambda c: history.read(c, scope, name, since=since, step_s=step_s))

    def count(self, table: Any) -> int:
        return int(self.db.read("t", lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))


@pytest.fixture
def book(database: Database) -> Book:
    return Book(database)


def test_what_is_written_is_read_again_by_the_minute(book: Book) -> None:
    book.write(BEGIN + 7.5, tower={"running": 3, "+done": 2, "oldest running s": 12.25}, ce1={"running": 3})
    assert book.read() == [Sample(BEGIN, {"running": 3, "+done": 2, "oldest running s": 12.25})]
    assert book.read("ce1") == [Sample(BEGIN, {"running": 3})]


def test_figures_of_one_name_are_added(book: Book) -> None:
    """Such as those of a URL that several submit points lead to."""
    twice = [Figure(CE, "ce1", "running", 2), Figure(CE, "ce1", "running", 3)]
    book.db.run("t", lambda c: history.write(c, BEGIN, twice))
    assert book.read("ce1") == [Sample(BEGIN, {"running": 5})]


def test_a_minute_is_written_once(book: Book) -> None:
    book.write(BEGIN, tower={"running": 3})
    book.write(BEGIN + 59, tower={"running": 4})
    assert book.read() == [Sample(BEGIN, {"running": 3})]


def test_zeros_are_read_as_such_and_a_minute_without_a_look_is_none(book: Book) -> None:
    book.write(BEGIN, tower={"running": 1}, ce1={"running": 1})
    book.write(BEGIN + 60, tower={"running": 0}, ce1={"running": 0})
    book.write(BEGIN + 180, tower={"running": 1}, ce1={"running": 1})
    assert book.read("ce1") == [
        Sample(BEGIN, {"running": 1}),
        Sample(BEGIN + 60, {}),
        Sample(BEGIN + 180, {"running": 1}),
    ]
    assert book.read() == book.read("ce1")
    assert book.count(samples) == 5  # three of the tower, two of the CE


def test_only_what_begins_late_enough_is_read(book: Book) -> None:
    for n in range(4):
        book.write(BEGIN + n * 60, tower={"running": n + 1})
    assert [s.figures["running"] for s in book.read(since=BEGIN + 120)] == [3, 4]


def test_names_that_differ_in_anything_are_different_series(book: Book) -> None:
    names = ["anna", "Anna", "anna ", "ánna", "x" * 255]
    figures = [Figure(USER, name, "running", n) for n, name in enumerate([*names, "x" * 300], 1)]
    book.db.run("t", lambda c: history.write(c, BEGIN, figures))
    assert sorted(book.db.read("t", lambda c: history.names(c, USER))) == sorted(names)
    assert book.db.read("t", lambda c: history.names(c, QUEUE)) == []


def test_an_hour_has_the_mean_of_levels_and_the_sum_of_counts(book: Book) -> None:
    for n in range(60):
        if n != 30:  # nobody looked
            book.write(BEGIN + n * 60, tower={"running": n}, ce1={"running": 59 * (n == 1), "+done": 2})
    book.compact(BEGIN + HOUR_S - 1)
    assert book.read(step_s=HOUR_S) == []  # it is not over
    book.compact(BEGIN + HOUR_S)
    ((at, tower),) = [(s.at, s.figures) for s in book.read(step_s=HOUR_S)]
    assert (at, tower) == (BEGIN, {"running": pytest.approx((sum(range(60)) - 30) / 59)})
    assert book.read("ce1", HOUR_S) == [Sample(BEGIN, {"running": 1, "+done": 118})]


def test_a_day_is_made_of_its_hours_when_all_of_them_are_there(book: Book) -> None:
    for n in range(25):
        book.write(BEGIN + n * HOUR_S, tower={"running": 10, "+done": 1})
    for n in range(24):
        assert book.read(step_s=DAY_S) == []
        book.compact(BEGIN + DAY_S + HOUR_S - 1)
        assert len(book.read(step_s=HOUR_S)) == n + 1
    book.compact(BEGIN + DAY_S + HOUR_S - 1)
    assert book.read(step_s=DAY_S) == [Sample(BEGIN, {"running": 10, "+done": 24})]
    book.compact(BEGIN + DAY_S + HOUR_S - 1, times=3)
    assert book.count(samples) == 25 + 24 + 1  # nothing is made twice


def test_hours_in_which_nobody_looked_are_left_out(book: Book) -> None:
    book.write(BEGIN, tower={"running": 1})
    book.write(BEGIN + 100 * DAY_S, tower={"running": 2})
    book.compact(BEGIN + 100 * DAY_S + HOUR_S, times=5)
    assert [s.at - BEGIN for s in book.read(step_s=HOUR_S)] == [0, 100 * DAY_S]
    assert [s.at - BEGIN for s in book.read(step_s=DAY_S)] == [0]


def test_minutes_and_hours_are_forgotten_when_they_are_in_something_longer(book: Book) -> None:
    keep = Keep(minutes_s=HOUR_S, hours_s=DAY_S, days_s=30 * DAY_S)
    for n in range(200):
        book.write(BEGIN + n * 60, tower={"running": 1}, gone={"running": 1} if n < 10 else {})
    late = BEGIN + 40 * DAY_S
    for _ in range(10):
        book.compact(late, keep)
    assert book.read() == []
    assert book.read(step_s=HOUR_S) == []
    assert book.read(step_s=DAY_S) == []
    assert book.count(series) == 0


def test_what_is_not_compacted_yet_is_not_forgotten(book: Book) -> None:
    keep = Keep(minutes_s=60, hours_s=60, days_s=1e12)
    for n in range(120):
        book.write(BEGIN + n * 60, tower={"+done": 1})
    book.compact(BEGIN + 2 * HOUR_S, keep)
    assert [s.at for s in book.read(step_s=HOUR_S)] == [BEGIN]
    assert min(s.at for s in book.read()) == BEGIN + HOUR_S
    book.compact(BEGIN + DAY_S, keep, times=3)
    assert [s.figures for s in book.read(step_s=DAY_S)] == [{"+done": 120}]


def test_little_is_forgotten_at_a_time(book: Book) -> None:
    """Else the first pass after a long absence, or a change of the configuration, would take very long."""
    for n in range(300):
        book.write(BEGIN + n * 60, tower={"+done": 1})
    book.compact(BEGIN + 5 * HOUR_S, times=5)
    book.compact(BEGIN + 5 * HOUR_S, Keep(60, 1e12, 1e12))
    assert len(book.read()) == 240


def test_one_of_many_takes_on_a_turn(database: Database) -> None:
    def take() -> bool:
        return database.run("t", lambda c: meta.swap(c, "turn", None, "1"))

    assert sorted(together(take, take, take)) == [False, False, True]

    def next_turn() -> bool:
        return database.run("t", lambda c: meta.swap(c, "turn", "1", "2"))

    assert sorted(together(next_turn, next_turn, next_turn)) == [False, False, True]
    assert database.read("t", lambda c: meta.value(c, "turn")) == "2"
