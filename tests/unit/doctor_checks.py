"""What tests of `actctl doctor` look at: verdicts, and checks."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from act.doctor import sidebyside
from act.doctor.check import Check, Examination, Verdict

GOOD, WARNING, BAD, UNCHECKED = Verdict
NOW = 1_000_000.0
HOUR = 3600.0


def only(checks: Any) -> Check:
    """The one check, which says what to do about anything bad."""
    (check,) = checks
    assert isinstance(check, Check)
    assert check.todo or check.verdict in (GOOD, UNCHECKED)
    return check


def row(**values: Any) -> Any:
    """As if of the database."""
    return SimpleNamespace(**values)


def look_at(*looks: Callable[[], list[Check]], deadline_s: float = 30, threads: int = 4) -> list[Check]:
    """What is found by examinations that are called ``look 0`` and so on."""
    examinations = [Examination(f"look {n}", look) for n, look in enumerate(looks)]
    return sidebyside.run(examinations, threads=threads, deadline_s=deadline_s)
