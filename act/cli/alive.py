"""actctl alive: whether somebody has to be woken."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from act.alarms import ask
from act.alarms.alarm import Alarm, Severity
from act.cli.show import age
from act.config import CoreConfig, load_core
from act.daemons import registry
from act.db import meta, migrate
from act.db.engine import AnyRow, Database
from act.errors import DatabaseBusy
from act.interfaces import plugins
from act.master import DaemonSpec, read_status

NEW_S = 120.0  # a daemon that has just been started has so long to report
STANDS_S = 30.0  # without a word from the master, which tells every few seconds
# Where the master of this host runs, it knows more of those here.
OF_DAEMONS = frozenset({"daemon_silent", "host_silent", "tower_silent"})


@click.command()
@click.option("--verbose", is_flag=True, help="Warnings too, and what to do.")
def alive(verbose: bool) -> None:
    """Whether the tower lives, as seen from this host: exits with 1 and says why if somebody has to look.

    The master runs and its daemons work, the database answers, and there is no critical alarm. Daemons that have just
    been started have two minutes to report.
    """
    config = load_core()
    told = read_status(config.paths.run_dir)
    wrong = list(_master(told))
    warnings: list[Alarm] = []
    try:
        rows, alarms = _ask(config)
    except DatabaseBusy as error:
        wrong.append(f"the database does not answer: {error}")
    else:
        if told is not None:
            here = {row.name: row for row in rows if row.host == os.uname().nodename}
            by_name = {d["name"]: d for d in told["daemons"]}
            wrong += silent(_expected(config), here, by_name, config.alarms.silent_s)
            alarms = [a for a in alarms if not _told_by_master(a)]
        wrong += [_line(a, verbose) for a in alarms if a.severity is Severity.CRITICAL]
        warnings = [a for a in alarms if a.severity is not Severity.CRITICAL]
    for line in [*wrong, *(_line(a, verbose) for a in warnings if verbose)]:
        click.echo(line, err=True)
    if wrong:
        sys.exit(1)
    click.echo("alive")


def _master(told: Mapping[str, Any] | None) -> Iterator[str]:
    if told is None:
        yield "no master runs on this host"
    elif (stands := time.time() - told["written"]) > STANDS_S:
        yield f"the master (pid {told['pid']}) has told nothing for {age(stands)}"


def _ask(config: CoreConfig) -> tuple[Sequence[AnyRow], list[Alarm]]:
    """(what daemons last said, alarms). Raises DatabaseBusy."""
    database = Database(config.database.connect_url())
    applications = plugins("act.app").values()
    try:
        migrate.check(database)
        return database.snapshot(
            "alive", lambda c: (meta.daemon_rows(c), ask.ask(c, config, applications=applications))
        )
    finally:
        database.close()


def _told_by_master(alarm: Alarm) -> bool:
    """Whether an alarm is about silence on this host."""
    return alarm.name in OF_DAEMONS and alarm.about.rpartition("@")[2] in ("", os.uname().nodename)


def _line(alarm: Alarm, verbose: bool) -> str:
    return f"{alarm.text}\n  {alarm.severity}: {alarm.todo}" if verbose else alarm.text


def _expected(config: CoreConfig) -> list[str]:
    """The processes that the configuration of this host starts."""
    enabled = registry.enabled(config).items()
    return [name for kind, (_, n) in enabled for name in DaemonSpec(kind, "", n).instances()]


def silent(
    expected: Sequence[str], rows: Mapping[str, AnyRow], told: Mapping[str, Mapping[str, Any]], silent_s: float
) -> Iterator[str]:
    """The processes that do not work, as lines. rows, told: what the database and the master say of each by name."""
    for name in expected:
        row, process = rows.get(name), told.get(name)
        if process is not None and process["state"] == "refused":
            yield f"{name} refuses its configuration and stays away until the next reload: {process['last_end']}"
        elif (row is None or row.age_s > silent_s) and not _new(process):
            word = "has never reported" if row is None else f"has reported nothing for {age(row.age_s)}"
            yield f"{name} {word}; the master says: {_state(process)}"


def _new(process: Mapping[str, Any] | None) -> bool:
    """In the first minutes of its first life."""
    return process is not None and process["restarts"] == 0 and (process["uptime_s"] or 0.0) < NEW_S


def _state(process: Mapping[str, Any] | None) -> str:
    if process is None:
        return "not started"
    ended = f", ended {process['restarts']} times, last: {process['last_end']}" if process["last_end"] else ""
    return f"{process['state']}{ended}"
