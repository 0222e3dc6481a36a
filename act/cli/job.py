"""actctl job: what operators do to jobs, many at a time, whatever application they belong to."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import click

from act.cli import show
from act.cli.operator import dry_run_option, operator, why_option
from act.cli.progress import bar
from act.config import CoreConfig, load_core
from act.control import orders
from act.control.apply import Action, Done, apply, count, select
from act.control.jobs import Filter, JobLine, Verb
from act.db import meta, migrate, situation
from act.db.engine import Database
from act.db.orders import Kind
from act.errors import ActError
from act.explain.words import seconds, some
from act.interfaces import plugins
from act.states import CEJOB

SHOWN = 20
EXIT_LEFT = 1  # something was not done to all that were wanted
_COLUMNS = ("job", "queue", "owner", "state", "attempt", "for", "priority", "CE", "node", "error")
_FILTERS = (
    click.argument("names", nargs=-1, metavar="[JOB]..."),
    click.option("--app", default="", help="Only of this source of jobs."),
    click.option("--state", "states", multiple=True, help="Of the job or its attempt; may be repeated."),
    click.option("--queue", default="", help="Of this queue of the source."),
    click.option("--share", default="", help="Of this share, or of the user with this subject."),
    click.option("--ce", default="", help="At the CE with this text in its URL."),
    click.option("--error", default="", help="With this text in what went wrong."),
    click.option("--node", default="", help="On this worker node."),
    click.option("--older", default=None, metavar="SPAN", help="In their state for longer, as 20min, 2h, 1d."),
    click.option("--all", "everything", is_flag=True, help="All jobs of the tower."),
)


@click.group()
def job() -> None:
    """Act on jobs. Name them (by the number of their source, or as client:5), or say what they have in common: all
    that is said must hold. Try --dry-run first; giving an order twice is harmless."""


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@job.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1), metavar="N", default=100, show_default=True, help="At most so many.")
def listing(limit: int, **chosen: Any) -> None:
    """Jobs, in the order in which they came."""
    with closing(_open(load_core())) as database:
        wanted = _wanted(database, **chosen)
        found = database.read("find", lambda c: select(c, wanted, limit=limit))
        _table("Jobs", found, database)


def _verb(verb: Verb, help_text: str) -> None:
    """A command that needs nothing but jobs and a reason."""

    @job.command(verb.value, help=help_text)
    @_filters
    @why_option
    @dry_run_option
    def command(why: str, dry_run: bool, **chosen: Any) -> None:
        _do(verb, why, dry_run, chosen)


_verb(Verb.KILL, "End jobs as soon as may be; their source, or their owner, is told why.")
_verb(Verb.RESUBMIT, "Give jobs that failed another attempt, where nobody has been told of their end.")
_verb(Verb.REQUEUE, "Take jobs that wait at a CE back from it, to wait for any CE again.")
_verb(Verb.CLEAN, "Keep nothing of ended jobs any longer.")
_verb(Verb.QUARANTINE, "Keep jobs that wait for a CE from all CEs, until they are released.")
_verb(Verb.RELEASE, "Let quarantined jobs go to CEs again.")
_verb(Verb.REPLAY, "Tell the source of jobs again what it was told last of them.")


@job.command()
@click.argument("priority", type=click.IntRange(-1_000_000, 1_000_000))
@_filters
@why_option
@dry_run_option
def priority(priority: int, why: str, dry_run: bool, **chosen: Any) -> None:
    """Give jobs that wait for a CE another PRIORITY; the higher one goes first among those of the same share."""
    _do(Verb.PRIORITY, why, dry_run, chosen, lambda database, config: priority)


@job.command()
@click.option("--to", "places", nargs=2, multiple=True, required=True, metavar="URL QUEUE",
              help="A CE, or enough of its URL, and a queue of it ('' for its default); may be repeated.")  # fmt: skip
@_filters
@why_option
@dry_run_option
def move(places: Sequence[tuple[str, str]], why: str, dry_run: bool, **chosen: Any) -> None:
    """Send jobs that wait for a CE to other CE queues instead."""

    def found(database: Database, config: CoreConfig) -> list[int]:
        return database.read("places", lambda c: [i for url, queue in places for i in _cequeues(c, config, url, queue)])

    _do(Verb.MOVE, why, dry_run, chosen, found)


def _cequeues(connection: Any, config: CoreConfig, url: str, queue: str) -> list[int]:
    """The numbers of a CE queue, one for each way that leads there. Raises ActError that tells the nearest names."""
    about = orders.subject(connection, config, Kind.CEQUEUE, url, queue)
    rows = situation.ces_named(connection, about.name)
    return [q.id for r in rows for q in situation.cequeues_of(connection, r.id) if q.queue == about.queue]


def _do(
    verb: Verb,
    why: str,
    dry_run: bool,
    chosen: dict[str, Any],
    value: Callable[[Database, CoreConfig], Any] | None = None,
) -> None:
    config = load_core()
    with closing(_open(config)) as database:
        wanted = _wanted(database, **chosen)
        action = Action(verb, wanted, operator(), why, value(database, config) if value is not None else None)
        told = _Told(dry_run)
        with bar(verb.value, lambda: count(database, wanted)) as advance:
            for page in apply(database, action, dry_run=dry_run):
                told.add(page)
                advance(len(page))
        told.show(database)
    missing = sorted(set(wanted.names) - told.names)
    for name in missing:
        click.echo(f"there is no job {name} that is like that; if it is in the archive, it is over", err=True)
    sys.exit(EXIT_LEFT if missing or told.refused else 0)


@dataclass
class _Told:
    """What came of all pages so far."""

    dry_run: bool
    done: int = 0
    first: list[JobLine] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    such_as: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def add(self, page: Sequence[Done]) -> None:
        good = [d.job for d in page if not d.refused]
        self.done += len(good)
        self.first += good[: SHOWN - len(self.first)]
        self.names.update(d.job.name for d in page)
        for d in page:
            if d.refused:
                self.refused[d.refused] += 1
                self.such_as.setdefault(d.refused, d.job.name)

    def show(self, database: Database) -> None:
        if self.dry_run and self.first:
            more = f", the first {SHOWN}" if self.done > SHOWN else ""
            _table(f"Jobs that would be meant{more}", self.first, database)
        click.echo(f"{'would be done to' if self.dry_run else 'done to'} {some(self.done, 'job')}")
        for why, n in self.refused.most_common():
            click.echo(f"not to {some(n, 'job')}, such as {self.such_as[why]}: {why}")


def _wanted(database: Database, names: tuple[str, ...], states: tuple[str, ...], older: str | None, share: str,
            everything: bool, **texts: str) -> Filter:  # fmt: skip
    """Raises click.UsageError where nothing is said, or everything and something; ActError for unknown names."""
    some_said = bool(names or states or older or share or any(texts.values()))
    if everything and some_said:
        raise click.UsageError("--all means every job of the tower: leave it out, or all that narrows it down")
    if not everything and not some_said:
        raise click.UsageError("say which jobs, by name or by what they have in common, or --all")
    applications = plugins("act.app")
    if texts["app"] not in ("", *applications):
        raise ActError(f"no source of jobs '{texts['app']}' is installed (known: {', '.join(sorted(applications))})")
    known = dict.fromkeys([*(s for a in applications.values() for s in a.operations.states()), *CEJOB.states])
    if unknown := [s for s in states if s not in known]:
        raise ActError(f"no job is ever '{unknown[0]}' (known: {', '.join(known)})")
    return Filter(
        names=names,
        states=states,
        older_s=None if older is None else seconds(older),
        share=database.read("share", lambda c: orders.share(c, share)) if share else "",
        **texts,
    )


def _table(title: str, lines: Sequence[JobLine], database: Database) -> None:
    now = database.read("clock", meta.clock)
    show.table(title, _COLUMNS, [
        (j.name, j.queue, j.owner, j.state, j.attempt_state, show.age(now - j.since), j.priority,
         j.ce.removeprefix("https://"), j.node, j.error[:60])
        for j in lines
    ])  # fmt: skip


def _open(config: CoreConfig) -> Database:
    database = Database(config.database.connect_url())
    migrate.check(database)
    return database
