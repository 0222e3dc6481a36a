"""actctl alive: whether somebody has to be woken."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from act.cli.show import age
from act.config import CoreConfig, load_core
from act.daemons import registry
from act.db import meta, migrate
from act.db.engine import AnyRow, Database
from act.errors import DatabaseBusy
from act.interfaces import plugins
from act.master import DaemonSpec, read_status

SILENT_S = 120.0  # without a word in the database; daemons report every ten seconds, unless it keeps them waiting
STANDS_S = 30.0  # without a word from the master, which tells every few seconds


@click.command()
def alive() -> None:
    """Whether this host's tower lives: exits with 1 and says why if somebody has to look.

    The master runs and its daemons work, the database answers, sources of jobs hear of their jobs in time, and jobs
    may be submitted. A tower that has just started has two minutes to come to it.
    """
    wrong = list(_wrong(load_core()))
    for line in wrong:
        click.echo(line, err=True)
    if wrong:
        sys.exit(1)
    click.echo("alive")


def _wrong(config: CoreConfig) -> Iterator[str]:
    """What somebody has to look at, as lines."""
    told = read_status(config.paths.run_dir)
    if told is None:
        yield "no master runs on this host"
    elif (stands := time.time() - told["written"]) > STANDS_S:
        yield f"the master (pid {told['pid']}) has told nothing for {age(stands)}"
    database = Database(config.database.connect_url())
    try:
        migrate.check(database)
        rows, stopped, late = database.read(
            "alive",
            lambda c: (
                meta.daemon_rows(c),
                meta.stopped(c),
                [alarm.text for application in plugins("act.app").values() for alarm in application.alarms(c)],
            ),
        )
    except DatabaseBusy as error:
        yield f"the database does not answer: {error}"
        return
    finally:
        database.close()
    if stopped:
        yield f"nothing is submitted: {stopped}"
    yield from late
    if told is not None:
        here = {row.name: row for row in rows if row.host == os.uname().nodename}
        yield from silent(_expected(config), here, {d["name"]: d for d in told["daemons"]})


def _expected(config: CoreConfig) -> list[str]:
    """The processes that the configuration of this host starts."""
    enabled = registry.enabled(config).items()
    return [name for kind, (_, n) in enabled for name in DaemonSpec(kind, "", n).instances()]


def silent(expected: Sequence[str], rows: Mapping[str, AnyRow], told: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The processes that do not work, as lines. rows, told: what the database and the master say of each by name."""
    for name in expected:
        row, process = rows.get(name), told.get(name)
        if process is not None and process["state"] == "refused":
            yield f"{name} refuses its configuration and stays away until the next reload: {process['last_end']}"
        elif (row is None or row.age_s > SILENT_S) and not _new(process):
            word = "has never reported" if row is None else f"has reported nothing for {age(row.age_s)}"
            yield f"{name} {word}; the master says: {_state(process)}"


def _new(process: Mapping[str, Any] | None) -> bool:
    """In the first minutes of its first life."""
    return process is not None and process["restarts"] == 0 and (process["uptime_s"] or 0.0) < SILENT_S


def _state(process: Mapping[str, Any] | None) -> str:
    if process is None:
        return "not started"
    ended = f", ended {process['restarts']} times, last: {process['last_end']}" if process["last_end"] else ""
    return f"{process['state']}{ended}"
