"""The history of a job as bars over time: one row for the job, and one for each attempt. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from act.explain.story import Happened

MOST_ROWS = 12  # further attempts are told, not drawn
MOST_BARS = 100  # of a row; what was before these is one bar
EARLIER = "earlier"


@dataclass(frozen=True, slots=True)
class Bar:
    """A state from ``begin`` to ``end`` (seconds, UTC); left and width are parts of the whole time, 0 to 1."""

    state: str
    begin: float
    end: float
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Row:
    """What happened to one thing."""

    of: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """All rows between two moments."""

    begin: float
    end: float
    rows: tuple[Row, ...]


def draw(history: Iterable[Happened], end: float) -> Timeline | None:
    """The bars of a history until ``end``: now, or when it was over. None where there is nothing to draw."""
    steps: dict[str, list[Happened]] = {}
    for step in history:
        if step.state:
            steps.setdefault(step.of, []).append(step)
    if not steps:
        return None
    begin = min(row[0].at for row in steps.values())
    end = max(end, *(row[-1].at for row in steps.values()))
    whole = max(end - begin, 1e-3)
    shown = [*steps][:1] + [*steps][1:][1 - MOST_ROWS :]
    rows = tuple(Row(of, tuple(_bars(steps[of], begin, end, whole))) for of in shown)
    return Timeline(begin, end, rows)


def _bars(steps: list[Happened], begin: float, end: float, whole: float) -> Iterable[Bar]:
    """Steps that do not change the state are within one bar; the last state is drawn to the end."""
    changes = [s for n, s in enumerate(steps) if n == 0 or steps[n - 1].state != s.state]
    if len(changes) > MOST_BARS:
        changes = [replace(changes[0], state=EARLIER), *changes[1 - MOST_BARS :]]
    ends = [*(s.at for s in changes[1:]), end]
    for step, until in zip(changes, ends, strict=True):
        yield Bar(step.state, step.at, until, (step.at - begin) / whole, max(until - step.at, 0.0) / whole)
