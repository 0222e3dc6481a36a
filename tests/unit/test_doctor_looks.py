"""No look of `actctl doctor` can hold up another one, or end them all."""

from __future__ import annotations

import threading

import pytest

from act.doctor.check import Check, Verdict, good
from act.errors import CredentialError, DatabaseBusy, SourceUnreachable
from tests.unit.doctor_checks import BAD, GOOD, UNCHECKED, look_at


def test_a_look_that_hangs_is_bad_and_holds_up_no_other() -> None:
    never = threading.Event()
    hangs = [lambda: [good("late", str(never.wait()))]] * 3
    checks = look_at(*hangs, lambda: [good("other", "well")], deadline_s=0.2, threads=1)
    assert [(c.what, c.verdict) for c in checks] == [
        ("look 0", BAD), ("look 1", BAD), ("look 2", BAD), ("other", GOOD)
    ]  # fmt: skip
    assert checks[0].found == "no answer within 0 s"
    never.set()


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (SourceUnreachable("gone away"), BAD),
        (CredentialError("gone away"), BAD),
        (DatabaseBusy("gone away"), UNCHECKED),
        (OSError(13, "gone away"), BAD),
        (ZeroDivisionError("gone away"), BAD),
    ],
)
def test_a_look_that_raises_is_a_verdict_with_something_to_do(error: Exception, verdict: Verdict) -> None:
    def look() -> list[Check]:
        raise error

    check = look_at(look)[0]
    assert (check.what, check.verdict) == ("look 0", verdict)
    assert "gone away" in check.found
    assert check.todo


def test_checks_come_in_the_order_of_their_examinations() -> None:
    first_may_end = threading.Event()

    def first() -> list[Check]:
        first_may_end.wait(30)
        return [good("first", "")]

    def second() -> list[Check]:
        first_may_end.set()
        return [good("second", "")]

    assert [c.what for c in look_at(first, second)] == ["first", "second"]
