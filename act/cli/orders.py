"""actctl drain, pause, limit, resume, orders: what operators order at run time. It wins over the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click
from sqlalchemy import Connection

from act.cli import show
from act.cli.operator import dry_run_option, ends_options, operator, why_option
from act.config import CoreConfig, load_core
from act.control import orders as control
from act.db import meta, migrate, orders
from act.db.engine import Database
from act.db.orders import LIMITS, Kind, Order, What
from act.explain.ordered import phrase
from act.explain.words import clock

USER = "user"  # a share, by the name of the one whose it is
KINDS = (*(kind.value for kind in Kind), USER)
_FOR = """KIND is ce (NAME: its URL, or enough of it; with QUEUE: one queue of it), cequeue (the same, also for a QUEUE
without a name), queue (of the source of jobs), share, or user (NAME: the subject)."""


def _about(command: Callable[..., Any]) -> Callable[..., Any]:
    """``KIND NAME [QUEUE]``"""
    for argument in (click.argument("queue", default=""), click.argument("name"),
                     click.argument("kind", type=click.Choice(KINDS))):  # fmt: skip
        command = argument(command)
    command.__doc__ = f"{command.__doc__}\n\n{_FOR}"
    return command


@click.command()
@_about
@why_option
@ends_options
@dry_run_option
def drain(kind: str, name: str, queue: str, **terms: Any) -> None:
    """Give no new jobs to a CE, or take none of a queue or user; what is there goes on."""
    _give(kind, name, queue, {What.DRAIN: None}, **terms)


@click.command()
@_about
@why_option
@ends_options
@dry_run_option
def pause(kind: str, name: str, queue: str, **terms: Any) -> None:
    """Leave a CE alone completely, as in its downtime; give no jobs of a queue or user to CEs, and take no new ones."""
    _give(kind, name, queue, {What.PAUSE: None}, **terms)


@click.command()
@_about
@click.option("--max-waiting", type=click.IntRange(0), metavar="N", help="At most so many that wait.")
@click.option("--max-jobs", type=click.IntRange(0), metavar="N", help="At most so many in all (of a queue: running).")
@why_option
@ends_options
@dry_run_option
def limit(kind: str, name: str, queue: str, max_waiting: int | None, max_jobs: int | None, **terms: Any) -> None:
    """Set limits of each queue of a CE, of one CE queue, or of a queue of the source."""
    values = {What.MAX_WAITING: max_waiting, What.MAX_JOBS: max_jobs}
    wanted = {what: value for what, value in values.items() if value is not None}
    if not wanted:
        raise click.UsageError("give --max-waiting, --max-jobs or both; 'actctl resume --limits' takes them back")
    _give(kind, name, queue, wanted, **terms)


@click.command()
@_about
@click.option("--limits", is_flag=True, help="Take back its limits instead.")
@click.option("--why", default="", help="For those who come after you.")
@dry_run_option
def resume(kind: str, name: str, queue: str, limits: bool, why: str, dry_run: bool) -> None:
    """Take back what was ordered, by operators or by the guard: drain, pause, and one job at a time."""
    whats = LIMITS if limits else tuple(w for w in What if w not in LIMITS)

    def work(connection: Connection, config: CoreConfig) -> list[str]:
        about = control.subject(connection, config, _kind(kind, queue), name, queue)
        done = control.take_back(connection, about, whats, who=operator(), why=why, dry_run=dry_run)
        left = [f"still: {line}" for line in control.beside(connection, about, whats)]
        return [*(done or [f"{about.text}: nothing of that is ordered"]), *left]

    _do(work, dry_run)


@click.command("orders")
@click.option("--history", is_flag=True, help="What was ordered and taken back, the latest order first.")
def listing(history: bool) -> None:
    """The orders in force: who gave them, why, and until when."""
    database = _open(load_core())
    if history:
        rows = database.read("orders", lambda c: orders.history(c, limit=200))
        show.table("Orders, given and taken back (UTC)", ("number", "when", "what", "who", "order"),
                   [(r.job_id, clock(r.at), r.event, r.who, r.why) for r in rows])  # fmt: skip
    else:
        rows = database.read("orders", orders.in_force)
        show.table("Orders in force (UTC)", ("number", "about", "order", "since", "until", "who", "why"),
                   [(r.id, f"{r.kind} {r.name} {r.queue}", phrase(r), clock(r.since),
                     clock(r.until) if r.until else "taken back", r.who, r.why) for r in rows])  # fmt: skip
    database.close()


def _kind(kind: str, queue: str) -> Kind:
    """A CE with a queue is a CE queue."""
    if queue and kind not in (Kind.CE, Kind.CEQUEUE):
        raise click.UsageError(f"a {kind} has no QUEUE")
    return Kind.SHARE if kind == USER else Kind.CEQUEUE if queue else Kind(kind)


def _give(
    kind: str,
    name: str,
    queue: str,
    wanted: Mapping[What, int | None],
    why: str,
    span: str | None,
    until: str | None,
    dry_run: bool,
) -> None:
    if span is not None and until is not None:
        raise click.UsageError("--for and --until are two ways to say the same: give one")

    def work(connection: Connection, config: CoreConfig) -> list[str]:
        end = span if span is not None else until
        ends = None if end is None else control.end(end, meta.clock(connection))
        of = _kind(kind, queue)
        given = [
            Order(kind=of, name=name, queue=queue, what=what, value=value, until=ends, why=why)
            for what, value in wanted.items()
        ]
        return [control.give(connection, config, order, who=operator(), dry_run=dry_run) for order in given]

    _do(work, dry_run)


def _do(work: Callable[[Connection, CoreConfig], list[str]], dry_run: bool) -> None:
    """In one transaction; then what changed, or would."""
    config = load_core()
    database = _open(config)
    transaction = database.read if dry_run else database.run
    for line in transaction("orders", lambda c: work(c, config)):
        click.echo(f"would be: {line}" if dry_run else line)
    database.close()


def _open(config: CoreConfig) -> Database:
    database = Database(config.database.connect_url())
    migrate.check(database)
    return database
