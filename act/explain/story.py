"""What an explanation is made of. Times are seconds since the epoch (UTC) by the database's clock."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Asked(StrEnum):
    """What a name given to an application is the name of."""

    JOB = "job"  # a job's number, as its source gave it
    ROW = "row"  # the number of the application's own row, as attempts know it: "app:number"
    QUEUE = "queue"  # a queue of the source


class Why(StrEnum):
    """What can keep a job, a CE or a queue from going on."""

    STOPPED = "stopped"  # all submission
    OFFLINE = "offline"  # the configuration said so
    ORDER = "order"  # an operator said so, or the guard
    BREAKER = "breaker"  # the CE failed several times in a row
    CREDENTIAL = "credential"  # missing, out of date, or refused by the CE
    LIMIT = "limit"  # as many as allowed are there
    FULL = "full"  # the CE said so
    REFUSED = "refused"  # by all its CE queues
    LEASE = "lease"  # another process has it in hand
    QUARANTINE = "quarantine"  # an operator, or the guard, keeps it from all CEs
    REST = "rest"  # left alone for a while after a refusal
    SETTINGS = "settings"  # what catalogues and configuration say
    SILENCE = "silence"  # a far side gives no answer
    DAEMON = "daemon"  # the one whose turn it is does not run


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose step is next. far: the far side that must act, so that the daemon hears of it; "": the daemon acts.

    does: what, in words. runs: whether a process of the daemon gave a sign of life lately; word: that sign, in words.
    """

    daemon: str
    does: str
    far: str = ""
    runs: bool = False
    word: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Something that is in the way. until: when it ends by itself (None: not by itself), and what happens then."""

    why: Why
    text: str
    until: float | None = None
    then: str = "it is tried again"


@dataclass(frozen=True, slots=True)
class Due:
    """What happens next, at this time or soon after. last: nothing can put it off any longer."""

    at: float
    text: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error in words; at: None where the time was not kept."""

    text: str
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """One step of a history. of: what it happened to; state: that it had from then on, "" where none is told."""

    at: float
    of: str
    text: str
    who: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """An explanation of one thing, with those of its parts (a job's present attempt).

    facts: label and text, for people. turn: None where nothing is to be done any more, or where a part tells.
    attempts: of a job of an application, the present one last: the core explains it and adds what happened to all.
    """

    title: str
    state: str
    since: float | None = None
    facts: tuple[tuple[str, str], ...] = ()
    turn: Turn | None = None
    holds: tuple[Hold, ...] = ()
    due: tuple[Due, ...] = ()
    errors: tuple[Trouble, ...] = ()
    history: tuple[Happened, ...] = ()
    attempts: tuple[int, ...] = ()
    parts: tuple[Story, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as for JSON."""
        return dataclasses.asdict(self)


def in_order(due: Iterable[Due]) -> tuple[Due, ...]:
    """What comes first comes first."""
    return tuple(sorted(due, key=lambda d: d.at))


def merged(histories: Iterable[Iterable[Happened]]) -> tuple[Happened, ...]:
    """Several histories as one, by time; what happened at the same time stays in the order given."""
    return tuple(sorted((h for history in histories for h in history), key=lambda h: h.at))


def happened(events: Iterable[Any], of: str, words: Mapping[str, str]) -> tuple[Happened, ...]:
    """Rows of ``events`` (at, source, event, target, who, why) as a history of one thing, in words."""
    return tuple(Happened(e.at, of, _sentence(e, words), e.who, e.target) for e in events)


def _sentence(event: Any, words: Mapping[str, str]) -> str:
    """``running -> finished: it ended well (the CE says FINISHED)``."""
    step = event.target if event.source == event.target else f"{event.source} -> {event.target}"
    said = f"{step}: {words.get(event.event, event.event)}"
    return f"{said} ({event.why})" if event.why else said
