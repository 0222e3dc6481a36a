"""Is all well? What needs somebody first, then the tower at a glance. Read from one open snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from act.alarms.alarm import Alarm, Severity
from act.alarms.ask import ask
from act.db import causes, figures, history, hosts, orders, survey
from act.db.causes import Cause
from act.db.engine import AnyRow
from act.db.history import DAY_S, HOUR_S, MINUTE_S, Sample
from act.explain.moment import Moment
from act.figures import TOWER
from act.interfaces import Application
from act.states import CEJOB, DEADLINES

RECENT_S = 86400.0
MOST_CAUSES = 8
# Attempts that somebody waits for, from the bottom of the plot to its top.
SHOWN = ("tosubmit", "submitting", "created", "submitted", "holding", "running", "finishing", "finished", "failed",
         "quarantined")  # fmt: skip
# Attempts by minute, hour or day: name -> keys.
RATES: Mapping[str, Sequence[str]] = {
    "new": ("+new",), "submitted": ("+submitted",), "ended well": ("+finished",),
    "ended badly": ("+failed", "+lost", "+donefailed"), "cancelled": ("+cancelled",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """How much of the past is drawn. name: as in the address."""

    name: str
    text: str
    whole_s: float
    step_s: int

    @property
    def each(self) -> str:
        """``minute``, ``hour`` or ``day``."""
        return {MINUTE_S: "minute", HOUR_S: "hour", DAY_S: "day"}[self.step_s]


USUAL = "3h"
SPANS = {
    s.name: s
    for s in (
        Span("3h", "3 hours", 3 * 3600.0, MINUTE_S),
        Span("1d", "a day", 86400.0, MINUTE_S),
        Span("30d", "30 days", 30 * 86400.0, HOUR_S),
        Span("3y", "3 years", 3 * 365 * 86400.0, DAY_S),
    )
}


@dataclass(frozen=True, slots=True)
class Oldest:
    """The attempt that has been in a state for longest, against what the state may last."""

    state: str
    number: int
    age_s: float
    deadline_s: float

    @property
    def part(self) -> float:
        """Of its deadline, 0 to 1."""
        return min(1.0, self.age_s / self.deadline_s)


@dataclass(frozen=True, slots=True)
class Credential:
    """A proxy or a token of the tower's. left_s: 0 for one that has run out, or never came."""

    name: str
    identity: str
    left_s: float
    whole_s: float
    error: str


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it. silent: daemons without a word lately. breakers: of CEs in trouble. urls: of all CEs, by number."""

    now: float
    alarms: tuple[Alarm, ...]
    span: Span
    samples: tuple[Sample, ...]
    states: tuple[tuple[str, int], ...]
    oldest: tuple[Oldest, ...]
    daemons: tuple[AnyRow, ...]
    silent: tuple[AnyRow, ...]
    breakers: tuple[AnyRow, ...]
    urls: Mapping[int, str]
    credentials: tuple[Credential, ...]
    hosts: tuple[hosts.Seen, ...]
    causes: tuple[Cause, ...]
    orders: tuple[AnyRow, ...]

    @property
    def verdict(self) -> tuple[str, str]:
        """(tone, words)."""
        critical = sum(a.severity is Severity.CRITICAL for a in self.alarms)
        if critical:
            return "critical", f"{critical} {'thing needs' if critical == 1 else 'things need'} somebody now"
        if self.alarms:
            n = len(self.alarms)
            return "warning", f"It works, but {n} {'thing needs' if n == 1 else 'things need'} a look"
        return "good", "All is well"


def read(connection: Connection, moment: Moment, applications: Sequence[Application], wanted: Span) -> Overview:
    """The overview of this moment."""
    states: dict[str, int] = {}
    for of_ce in survey.states_by_ce(connection).values():
        for state, n in of_ce.items():
            states[state] = states.get(state, 0) + n
    breakers = survey.breakers_listed(connection)
    return Overview(
        now=moment.now,
        alarms=tuple(ask(connection, moment.config, applications=applications)),
        span=wanted,
        samples=tuple(history.read(connection, TOWER, "", since=moment.now - wanted.whole_s, step_s=wanted.step_s)),
        states=tuple((s, states[s]) for s in CEJOB.states if states.get(s) and s not in CEJOB.final),
        oldest=tuple(_oldest(connection, moment, states)),
        daemons=tuple(moment.beats),
        silent=tuple(b for b in moment.beats if b.age_s > moment.config.alarms.silent_s),
        breakers=tuple(b for b in breakers if b.failures or b.open_until is not None),
        urls={row.id: row.url for row in survey.ces_listed(connection)},
        credentials=tuple(_credentials(moment)),
        hosts=tuple(moment.seen),
        causes=tuple(causes.listing(connection, since=moment.now - RECENT_S, limit=MOST_CAUSES)),
        orders=tuple(orders.in_force(connection)),
    )


def _oldest(connection: Connection, moment: Moment, states: Mapping[str, int]) -> Iterator[Oldest]:
    own = {d.state: d.seconds for d in moment.config.deadlines.deadline}
    for state, age_s in figures.oldest(connection).items():
        if state in DEADLINES:
            yield Oldest(state, states.get(state, 0), age_s, own.get(state, DEADLINES[state].seconds))


def _credentials(moment: Moment) -> Iterator[Credential]:
    roles = {p.role for p in moment.config.proxies.proxy}
    for row in moment.proxies.values():
        if row.role in roles:
            yield _credential(f"proxy of role {row.role}", row, moment.now)
    for url, row in moment.tokens.items():
        yield _credential(f"token for {url}", row, moment.now)


def _credential(name: str, row: AnyRow, now: float) -> Credential:
    return Credential(
        name, row.identity, max(0.0, row.expires - now), max(1.0, row.expires - row.issued), row.error or ""
    )
