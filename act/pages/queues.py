"""The queues of the sources side by side, and one queue closely: read from one open snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from act.db import history, orders
from act.db.engine import AnyRow
from act.db.history import Sample
from act.db.orders import Kind
from act.errors import ActError
from act.explain import ask
from act.explain.moment import Moment
from act.explain.story import Story
from act.figures import QUEUE, SLOTS
from act.interfaces import Application

HOURS_S, WEEK_S = 6 * 3600, 7 * 86400


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue. states: of its jobs -> number, those that it has any in. slots: the cores of those that run."""

    name: str
    states: Mapping[str, int]
    slots: int
    orders: tuple[AnyRow, ...]

    @property
    def total(self) -> int:
        """All its jobs that are here."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class Queues:
    """All queues. states: those that any job is in, in the order in which people know them."""

    states: tuple[str, ...]
    lines: tuple[QueueLine, ...]

    def sum_of(self, state: str) -> int:
        """Of all queues."""
        return sum(line.states.get(state, 0) for line in self.lines)


@dataclass(frozen=True, slots=True)
class QueuePage:
    """One queue. story: why it gets jobs or not; None where no application knows it any more.

    states: of its jobs, in order; slots: the cores of those that run; shown: all states in order. minutes, hours: its
    figures of the last hours, and of the last week.
    """

    name: str
    now: float
    story: Story | None
    states: tuple[tuple[str, int], ...]
    slots: int
    shown: tuple[str, ...]
    orders: tuple[AnyRow, ...]
    minutes: Sequence[Sample]
    hours: Sequence[Sample]


def listing(connection: Connection, applications: Sequence[Application]) -> Queues:
    """All queues that are known, or have jobs, or are under an order."""
    ordered = orders.in_force(connection, Kind.QUEUE)
    states, slots = _figures(connection, applications)
    names = sorted({*states, *_known(connection, applications), *(o.name for o in ordered)})
    lines = tuple(
        QueueLine(q, states.get(q, {}), slots.get(q, 0), tuple(o for o in ordered if o.name == q)) for q in names
    )
    return Queues(_in_order(applications, {s for line in lines for s in line.states}), lines)


def page(connection: Connection, moment: Moment, applications: Sequence[Application], name: str) -> QueuePage | None:
    """One queue; None if nothing is known of that name."""
    try:
        story = ask.queue(connection, moment, name)
    except ActError:
        story = None
    all_states, slots = _figures(connection, applications)
    states = all_states.get(name, {})
    found = QueuePage(
        name=name,
        now=moment.now,
        story=story,
        states=tuple((s, states[s]) for s in _in_order(applications, states)),
        slots=slots.get(name, 0),
        shown=_all(applications),
        orders=tuple(o for o in orders.in_force(connection, Kind.QUEUE) if o.name == name),
        minutes=history.read(connection, QUEUE, name, since=moment.now - HOURS_S, step_s=history.MINUTE_S),
        hours=history.read(connection, QUEUE, name, since=moment.now - WEEK_S, step_s=history.HOUR_S),
    )
    known = story is not None or states or found.orders or name in _known(connection, applications)
    return found if known else None


def _known(connection: Connection, applications: Iterable[Application]) -> set[str]:
    return {queue for app in applications for queue in app.operations.queues(connection)}


def _figures(
    connection: Connection, applications: Iterable[Application]
) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """(queue -> state -> number of jobs, queue -> slots), of those that have any."""
    states: dict[str, dict[str, int]] = {}
    slots: dict[str, int] = {}
    for figure in (f for app in applications for f in app.operations.figures(connection) if f.scope == QUEUE):
        if figure.key == SLOTS:
            slots[figure.name] = int(figure.value)
        else:
            states.setdefault(figure.name, {})[figure.key] = int(figure.value)
    return states, slots


def _in_order(applications: Iterable[Application], used: Iterable[str]) -> tuple[str, ...]:
    """States in use, in the order in which people know them."""
    used = set(used)
    known = _all(applications)
    return (*(s for s in known if s in used), *sorted(used.difference(known)))


def _all(applications: Iterable[Application]) -> tuple[str, ...]:
    """All states of jobs."""
    return tuple(dict.fromkeys(s for app in applications for s in app.operations.states()))
