"""What a look at the tower finds: verdicts with what to do, and who gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How well something is. BAD: jobs, or people, suffer from it now; WARNING: they soon may."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNCHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. found: the facts, in one line; todo: what to do about them, "" if nothing."""

    what: str
    verdict: Verdict
    found: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """A look at something, which may take its time and may raise. what: its name if it gives no check."""

    what: str
    look: Callable[[], Iterable[Check]]


def good(what: str, found: str) -> Check:
    """All is well."""
    return Check(what, Verdict.GOOD, found)


def warning(what: str, found: str, todo: str) -> Check:
    """It works, and may not for long."""
    return Check(what, Verdict.WARNING, found, todo)


def bad(what: str, found: str, todo: str) -> Check:
    """It does not work."""
    return Check(what, Verdict.BAD, found, todo)


def unchecked(what: str, found: str, todo: str = "") -> Check:
    """Nobody knows. found: why."""
    return Check(what, Verdict.UNCHECKED, found, todo)
