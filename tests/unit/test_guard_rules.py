"""Black holes are told from bad luck, by the rules of the configuration alone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from act.config import Guard
from act.control.guard import black_hole, failed_fast, recovered
from act.db.ends import End

RULES = Guard(window=10, least=5, bad=0.8, short_s=60, probes=2)


def end(good: bool = False, ran_s: float | None = 1.0, node: str = "") -> End:
    return End(1, 1, 0.0, 0.0, node, good, ran_s)


WELL, FAST, LONG = end(good=True, ran_s=3600), end(), end(ran_s=3600)


@pytest.mark.parametrize(
    ("ends", "is_one"),
    [
        ([FAST] * 5, True),
        ([FAST] * 4, False),  # too few to tell
        ([WELL] * 2 + [FAST] * 8, True),
        ([WELL] * 3 + [FAST] * 7, False),  # most is not enough
        ([WELL] * 50 + [FAST] * 10, True),  # only the last ones count
        ([FAST] * 10 + [WELL] * 10, False),
        ([LONG] * 10, False),  # that is the jobs' own affair
        ([end(good=True, ran_s=1)] * 10, False),  # quick, and well
        ([end(ran_s=None)] * 5, True),  # it was never seen to run
        ([], False),
    ],
)
def test_a_ce_queue_is_a_black_hole_when_most_of_its_last_jobs_failed_fast(ends: list[End], is_one: bool) -> None:
    assert bool(black_hole(ends, RULES)) == is_one


def test_the_reason_has_the_numbers_and_the_node_that_nearly_all_were_on() -> None:
    assert black_hole([WELL, *[FAST] * 9], RULES) == "9 of its last 10 jobs failed after less than 1 min of running"
    at_one = [end(node="wn7")] * 8 + [end(node="wn8")] * 2
    assert black_hole(at_one, RULES).endswith("of running, 8 of them on node wn7")
    spread = [end(node=f"wn{n}") for n in range(10)]
    assert "node" not in black_hole(spread, RULES)


@pytest.mark.parametrize(
    ("ends", "is_well"),
    [([WELL, WELL], True), ([FAST, WELL, WELL], True), ([WELL], False), ([WELL, FAST], False), ([LONG, WELL], True),
     ([FAST, WELL], False), ([], False)],
)  # fmt: skip
def test_it_is_none_any_more_after_some_jobs_in_a_row_that_did_not_fail_fast(ends: list[End], is_well: bool) -> None:
    assert recovered(ends, RULES) == is_well


@pytest.mark.parametrize(("ran_s", "fast"), [(0, True), (59.9, True), (60, False), (None, True)])
def test_what_is_fast_is_configured(ran_s: float | None, fast: bool) -> None:
    assert failed_fast(end(ran_s=ran_s), RULES) == fast
    assert not failed_fast(end(good=True, ran_s=ran_s), RULES)


@pytest.mark.parametrize("wrong", [{"least": 11, "window": 10}, {"submissions": 10}, {"bad": 0}])
def test_rules_that_could_never_hold_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Guard(**wrong)
