"""Reads the facts of one moment, and says what somebody has to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection

from act.alarms import attempts, ces, credentials, daemons, hosts
from act.alarms.alarm import Alarm, Severity
from act.config import CoreConfig
from act.db import concerns, survey
from act.explain.moment import Moment
from act.interfaces import Application

CLONED = "see 'Backup, restore, copies' in docs/operations.md; 'actctl db clone-identity' lets it go on"


def ask(connection: Connection, config: CoreConfig, *, applications: Iterable[Application]) -> list[Alarm]:
    """All alarms of an open snapshot, critical ones first. What only the master of a host knows is not among them."""
    moment = Moment.read(connection, config, None, None)
    found = [*_core(connection, moment)]
    for application in applications:
        found += application.operations.alarms(connection)
    return sorted(found, key=lambda a: (a.severity is not Severity.CRITICAL, a.name, a.about))


def _core(connection: Connection, moment: Moment) -> Iterator[Alarm]:
    if moment.stopped:
        text = f"nothing is submitted: {moment.stopped}"
        yield Alarm("submission_stopped", Severity.CRITICAL, "", text, CLONED)
    yield from daemons.silent(moment.beats, moment.config.alarms.silent_s)
    yield from hosts.of_hosts(moment.seen, moment.config.alarms)
    yield from credentials.of_credentials(moment)
    yield from ces.of_ces(moment, _of_ces(connection, moment))
    yield from ces.black_holes(moment)
    yield from attempts.of_attempts(connection, moment.config)


def _of_ces(connection: Connection, moment: Moment) -> ces.Facts:
    breakers, lanes = survey.breakers_listed(connection), survey.lanes_listed(connection)
    suspects = ces.suspects(moment, breakers, lanes)
    return ces.Facts(survey.ces_listed(connection), breakers, lanes, concerns.in_use(connection, suspects))
