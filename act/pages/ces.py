"""All CEs side by side, and one CE closely: read from one open snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from act.db import history, orders, situation, survey
from act.db.engine import AnyRow
from act.db.history import Sample
from act.db.orders import STOPS, Kind, What, plain
from act.explain import ask, places
from act.explain.moment import Moment
from act.explain.places import Place
from act.explain.story import Story
from act.explain.words import ago, some
from act.figures import CE
from act.pages.calls import GROUPS, Calls, of_counters, of_samples, over_time

# States of attempts that a CE has something of, as far as is known, in the order of a life.
THERE = ("submitting", "created", "submitted", "holding", "running", "finishing", "torerun", "finished", "failed",
         "tofetch", "tocancel", "cancelling", "cancelled", "done", "donefailed", "lost", "toclean")  # fmt: skip
HOURS_S, WEEK_S = 6 * 3600, 7 * 86400
_HERE = (Kind.CE, Kind.CEQUEUE)
GOOD, WARN, BAD = "good", "warn", "bad"


@dataclass(frozen=True, slots=True)
class Condition:
    """How a CE is, in a word, and why; tone: good, warn or bad."""

    word: str
    tone: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class CELine:
    """One CE in the list. states: of its attempts -> number; waiting: attempts that may come here.

    polled: when the lane that was heard of longest ago was. submitting, polling, all: calls of the last hour; None
    where nobody called.
    """

    row: AnyRow
    condition: Condition
    states: Mapping[str, int]
    waiting: int
    polled: float | None
    submitting: Calls | None
    polling: Calls | None
    all: Calls | None
    orders: tuple[AnyRow, ...]

    @property
    def total(self) -> int:
        """All attempts that are there."""
        return sum(self.states.get(s, 0) for s in THERE)


@dataclass(frozen=True, slots=True)
class CEs:
    """The list. states: those that any attempt is in, in order; unplaced: attempts that have no CE, by state."""

    now: float
    states: tuple[str, ...]
    lines: tuple[CELine, ...]
    unplaced: Mapping[str, int]

    def sum_of(self, state: str) -> int:
        """Of all CEs."""
        return sum(line.states.get(state, 0) for line in self.lines)


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue of a CE."""

    place: Place
    states: Mapping[str, int]
    waiting: int
    orders: tuple[AnyRow, ...]


@dataclass(frozen=True, slots=True)
class CEPage:
    """One CE. words: its own words for our jobs' states; calls: of all kinds, counted since the daemons' beginnings.

    minutes, hours: its figures of the last hours, and of the last week. took, failing: see `act.pages.calls.over_time`.
    """

    now: float
    line: CELine
    story: Story
    queues: tuple[QueueLine, ...]
    breakers: tuple[AnyRow, ...]
    lanes: tuple[AnyRow, ...]
    delegations: tuple[AnyRow, ...]
    words: tuple[tuple[str, int], ...]
    calls: tuple[Calls, ...]
    minutes: Sequence[Sample]
    hours: Sequence[Sample]
    took: Sequence[Sample]
    failing: Sequence[Sample]


def listing(connection: Connection, moment: Moment) -> CEs:
    """All CEs."""
    around = _Around.read(connection, moment)
    lines = tuple(around.line(connection, row) for row in survey.ces_listed(connection))
    known = {state for states in around.states.values() for state in states}
    return CEs(moment.now, tuple(s for s in THERE if s in known), lines, around.states.get(0, {}))


def page(connection: Connection, moment: Moment, ce_id: int) -> CEPage | None:
    """One CE; None if there is none of that number."""
    row = situation.ce_with(connection, ce_id)
    if row is None:
        return None
    around = _Around.read(connection, moment)
    minutes = history.read(connection, CE, row.url, since=moment.now - HOURS_S, step_s=history.MINUTE_S)
    took, failing = over_time(minutes)
    return CEPage(
        now=moment.now,
        line=around.line(connection, row),
        story=ask.of_ce(connection, moment, row),
        queues=_queues(connection, moment, around, ce_id),
        breakers=tuple(around.breakers[ce_id]),
        lanes=tuple(around.lanes[ce_id]),
        delegations=tuple(situation.delegations_of(connection, ce_id)),
        words=tuple(survey.words_of_ce(connection, ce_id)),
        calls=tuple(of_counters(r) for r in survey.calls_at(connection, ce_id)),
        minutes=minutes,
        hours=history.read(connection, CE, row.url, since=moment.now - WEEK_S, step_s=history.HOUR_S),
        took=took,
        failing=failing,
    )


def _queues(connection: Connection, moment: Moment, around: _Around, ce_id: int) -> tuple[QueueLine, ...]:
    states = survey.states_at_cequeues(connection, ce_id)
    found = places.read(connection, moment, situation.cequeues_of(connection, ce_id))
    return tuple(
        QueueLine(
            p, states.get(p.row.id, {}), around.waiting.get(p.row.id, 0), around.orders_of(p.row.url, p.row.queue)
        )
        for p in found
    )


@dataclass(frozen=True)
class _Around:
    """What is known of all CEs, each kind of fact read once."""

    moment: Moment
    states: Mapping[int, Mapping[str, int]]
    waiting: Mapping[int, int]  # of CE queues
    queues: Mapping[int, Sequence[AnyRow]]
    breakers: Mapping[int, Sequence[AnyRow]]
    lanes: Mapping[int, Sequence[AnyRow]]
    orders: Sequence[AnyRow]

    @classmethod
    def read(cls, connection: Connection, moment: Moment) -> _Around:
        return cls(
            moment,
            survey.states_by_ce(connection),
            survey.waiting_by_cequeue(connection),
            _by_ce(survey.cequeues_listed(connection)),
            _by_ce(survey.breakers_listed(connection)),
            _by_ce(survey.lanes_listed(connection)),
            orders.in_force(connection),
        )

    def line(self, connection: Connection, row: AnyRow) -> CELine:
        polled = [lane.polled for lane in self.lanes[row.id] if lane.polled is not None]
        recent = history.read(connection, CE, row.url, since=self.moment.now - 3600, step_s=history.MINUTE_S)
        return CELine(
            row=row,
            condition=condition(self.moment, row, self.breakers[row.id], self.lanes[row.id], self.orders_of(row.url)),
            states=self.states.get(row.id, {}),
            waiting=max((self.waiting.get(q.id, 0) for q in self.queues[row.id]), default=0),
            polled=min(polled, default=None),
            submitting=of_samples("submitting", recent, GROUPS["submitting"]),
            polling=of_samples("polling", recent, GROUPS["polling"]),
            all=of_samples("all", recent),
            orders=tuple(o for o in self.orders if o.kind in _HERE and plain(o.name) == plain(row.url)),
        )

    def orders_of(self, url: str, queue: str | None = None) -> tuple[AnyRow, ...]:
        """For a CE, or for one of its queues."""
        return tuple(
            o for o in self.orders
            if plain(o.name) == plain(url)
            and (o.kind == Kind.CE if queue is None else o.kind == Kind.CEQUEUE and o.queue == queue)
        )  # fmt: skip


def _by_ce(rows: Iterable[AnyRow]) -> Mapping[int, Sequence[AnyRow]]:
    found: defaultdict[int, list[AnyRow]] = defaultdict(list)
    for row in rows:
        found[row.ce_id].append(row)
    return found


def condition(
    moment: Moment, row: Any, breakers: Sequence[Any], lanes: Sequence[Any], ordered: Sequence[Any]
) -> Condition:
    """How a CE (rows of ``ces``, ``breakers``, ``lanes`` and ``orders``) is: the worst that is true of it."""
    if shut := [b for b in breakers if b.open_until is not None]:
        first = shut[0]
        why = f"{some(first.failures, 'failure')} in a row, seen from {first.host}"
        return Condition("left alone", BAD, f"{why}: {first.last_error}" if first.last_error else why)
    if paused := [lane for lane in lanes if lane.paused_until is not None and lane.paused_until > moment.now]:
        return Condition("refuses a credential", BAD, f"role '{paused[0].role}': {paused[0].error}")
    if told := [o for o in ordered if o.what in STOPS]:
        word = "paused" if any(o.what == What.PAUSE for o in told) else "draining"
        return Condition(word, WARN, f"{told[0].why} ({told[0].who})")
    if row.status != "online" or moment.config.ces.at(row.url).status != "online":
        return Condition("offline", WARN, "by the configuration (ces/ce)")
    if failing := [b for b in breakers if b.failures]:
        return Condition("in trouble", WARN, f"{some(failing[0].failures, 'failure')}: {failing[0].last_error or ''}")
    if silent := [lane for lane in lanes if places.silent(moment, lane)]:
        return Condition("silent", WARN, f"the last complete answer came {ago(silent[0].polled, moment.now)}")
    return Condition("well", GOOD) if breakers or lanes else Condition("not spoken to yet", WARN)
