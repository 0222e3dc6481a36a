"""Attempts that nobody brings on: quarantined ones, and those whose limit is over."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from act.alarms.alarm import Alarm, Severity
from act.config import CoreConfig
from act.db import cejobs, concerns, figures, survey
from act.explain.words import some, span
from act.states import CEJOB, STAND_STILL_AT_MOST_S

QUARANTINED = "quarantined"
GRACE_S = 600.0  # deadlines are looked after every minute
MOST = 1000  # that are counted


def of_attempts(connection: Connection, config: CoreConfig) -> Iterator[Alarm]:
    """Of an open snapshot."""
    oldest = figures.oldest(connection)
    if (age_s := oldest.get(QUARANTINED)) is not None:
        yield _quarantined(connection, age_s)
    own = {d.state: d.seconds for d in config.deadlines.deadline}
    for state, deadline in CEJOB.deadlines.items():
        limit_s = own.get(state, deadline.seconds) + GRACE_S
        if oldest.get(state, 0.0) > limit_s and (found := _overdue(connection, config, state, limit_s)):
            text = f"{some(found, 'attempt')} in '{state}' beyond the limit of {span(limit_s - GRACE_S)}"
            todo = "does the reconciler run, and what does its log say? 'actctl explain' tells of each"
            yield Alarm("overdue", Severity.WARNING, state, text, todo)


def _overdue(connection: Connection, config: CoreConfig, state: str, limit_s: float) -> int:
    """Without those whose CE is silent: their clock stands still."""
    silent_s = config.polling.silent_s
    return sum(
        len(cejobs.overdue(connection, flavour, state, limit_s, silent_s=silent_s, at_most_s=STAND_STILL_AT_MOST_S,
                           limit=MOST))
        for flavour in {ce.flavour for ce in survey.ces_listed(connection)}
    )  # fmt: skip


def _quarantined(connection: Connection, age_s: float) -> Alarm:
    number = concerns.number_in(connection, QUARANTINED)
    text = f"{some(number, 'attempt')} in quarantine, one for {span(age_s)}"
    todo = "'actctl explain' tells why; 'actctl job release --state quarantined' or 'actctl job kill', each with --why"
    return Alarm("quarantined", Severity.WARNING, "", text, todo)
