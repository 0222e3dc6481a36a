"""What the pages make of facts, without a database: bars of a timeline, searches, the condition of a CE."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from act.config import CoreConfig
from act.errors import ActError
from act.explain.moment import Moment
from act.explain.story import Happened
from act.pages import ces, timeline
from act.pages.ces import BAD, GOOD, WARN
from act.pages.jobs import Search
from act.pages.timeline import EARLIER, MOST_BARS, MOST_ROWS
from act.states import CEJOB, PLACELESS

MOMENT = Moment(1000.0, CoreConfig())
CE = SimpleNamespace(url="https://ce1.example.org/arex", status="online")


def step(at: float, state: str, of: str = "job") -> Happened:
    return Happened(at, of, f"-> {state}", "somebody", state)


# -- timeline --------------------------------------------------------------------------------------------------------


def test_each_state_is_a_bar_from_its_begin_to_the_next_one() -> None:
    drawn = timeline.draw([step(0, "sent"), step(10, "starting"), step(30, "running")], 40)
    assert drawn is not None
    (row,) = drawn.rows
    assert [(b.state, b.left, b.width) for b in row.bars] == [
        ("sent", 0, 0.25), ("starting", 0.25, 0.5), ("running", 0.75, 0.25)
    ]  # fmt: skip


def test_steps_that_leave_the_state_make_no_bar_of_their_own() -> None:
    drawn = timeline.draw([step(0, "sent"), step(5, "running"), step(6, "running"), step(9, "running")], 10)
    assert drawn is not None and [b.state for b in drawn.rows[0].bars] == ["sent", "running"]


def test_the_job_and_its_attempts_share_one_axis() -> None:
    drawn = timeline.draw([step(0, "sent"), step(50, "tosubmit", "attempt 7"), step(75, "submitted", "attempt 7")], 100)
    assert drawn is not None
    assert [(r.of, r.bars[0].left) for r in drawn.rows] == [("job", 0), ("attempt 7", 0.5)]


def test_of_many_attempts_the_job_and_the_last_ones_are_drawn() -> None:
    steps = [step(0, "sent"), *(step(n, "tosubmit", f"attempt {n}") for n in range(1, 40))]
    drawn = timeline.draw(steps, 50)
    assert drawn is not None and len(drawn.rows) == MOST_ROWS
    assert [drawn.rows[0].of, drawn.rows[-1].of] == ["job", "attempt 39"]


def test_a_job_that_changes_all_the_time_is_drawn_with_its_last_changes() -> None:
    drawn = timeline.draw([step(n, ("running", "holding")[n % 2]) for n in range(5000)], 5000)
    assert drawn is not None
    bars = drawn.rows[0].bars
    assert (len(bars), bars[0].state, bars[-1].state) == (MOST_BARS, EARLIER, "holding")
    assert sum(b.width for b in bars) == pytest.approx(1)


def test_a_job_that_has_just_come_is_drawn() -> None:
    drawn = timeline.draw([step(5, "sent")], 5)
    assert drawn is not None and drawn.rows[0].bars[0].left == 0
    assert timeline.draw([], 5) is None


# -- searches --------------------------------------------------------------------------------------------------------


def test_fields_of_a_form_make_a_filter() -> None:
    search = Search.of({"name": "12, 13 client:4", "state": "running", "older": "2h", "ce": " ce1 ", "queue": ""})
    assert search.asked
    assert (search.wanted.names, search.wanted.states) == (("12", "13", "client:4"), ("running",))
    assert (search.wanted.older_s, search.wanted.ce, search.wanted.queue) == (7200, "ce1", "")


def test_a_form_without_anything_asks_for_nothing() -> None:
    assert not Search.of({"name": " ", "unknown": "x"}).asked


@pytest.mark.parametrize("text", ["soon", "2 weeks", "-1h", "1e9", "h"])
def test_a_time_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ActError, match="no length of time"):
        Search.of({"older": text})


def test_every_state_of_an_attempt_at_a_ce_has_its_place_in_the_tables() -> None:
    assert sorted(ces.THERE) == sorted(set(CEJOB.states) - {*PLACELESS, *CEJOB.final})


# -- the condition of a CE -------------------------------------------------------------------------------------------


def breaker(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"host": "h1", "failures": 0, "open_until": None, "last_error": None} | values)


def lane(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"role": "production", "polled": 990.0, "paused_until": None, "error": None} | values)


def order(what: str) -> SimpleNamespace:
    return SimpleNamespace(what=what, who="operator-ann", why="disk change")


@pytest.mark.parametrize(
    ("breakers", "lanes", "orders", "word", "tone"),
    [
        ([], [], [], "not spoken to yet", WARN),
        ([breaker()], [lane()], [], "well", GOOD),
        ([breaker(failures=1, last_error="no answer")], [lane()], [], "in trouble", WARN),
        ([breaker(failures=5, open_until=1010.0)], [lane()], [order("drain")], "left alone", BAD),
        ([breaker()], [lane(paused_until=1100.0, error="403")], [], "refuses a credential", BAD),
        ([breaker()], [lane()], [order("drain")], "draining", WARN),
        ([breaker()], [lane()], [order("drain"), order("pause")], "paused", WARN),
        ([breaker()], [lane()], [order("max_jobs")], "well", GOOD),
        ([breaker()], [lane(polled=10.0)], [], "silent", WARN),
    ],
)
def test_a_ce_is_told_by_the_worst_that_is_true_of_it(
    breakers: list[Any], lanes: list[Any], orders: list[Any], word: str, tone: str
) -> None:
    told = ces.condition(MOMENT, CE, breakers, lanes, orders)
    assert (told.word, told.tone) == (word, tone)


def test_the_condition_of_a_ce_says_why() -> None:
    told = ces.condition(MOMENT, CE, [breaker(failures=5, open_until=1.0, last_error="refused <b>")], [], [])
    assert told.why == "5 failures in a row, seen from h1: refused <b>"
    assert ces.condition(MOMENT, CE, [], [], [order("drain")]).why == "disk change (operator-ann)"
