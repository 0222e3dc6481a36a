"""actctl archive: ended jobs that are kept for people who ask."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import click

from act.cli import show
from act.cli.operator import dry_run_option, operator, why_option
from act.cli.progress import bar
from act.config import load_core
from act.control.archive import prune as prune_pages
from act.db import archive as past
from act.db import meta, migrate
from act.db.archive import Past
from act.db.engine import Database
from act.explain.words import clock, seconds, some


@click.group()
def archive() -> None:
    """Ended jobs; 'actctl explain JOB' tells the whole story of one."""


@archive.command()
@click.argument("names", nargs=-1, metavar="[JOB]...")
@click.option("--queue", default="", help="Of this queue of the source.")
@click.option("--state", "states", multiple=True, help="That ended so; may be repeated.")
@click.option("--newer", metavar="SPAN", help="That ended in the last 20min, 2h, 1d.")
@click.option("--older", metavar="SPAN", help="That ended before that.")
@click.option("--limit", type=click.IntRange(1), metavar="N", default=100, show_default=True, help="At most so many.")
def find(
    names: Sequence[str], queue: str, states: Sequence[str], newer: str | None, older: str | None, limit: int
) -> None:
    """Jobs in the archive, the latest end first."""
    with closing(_open()) as database:
        now = database.read("clock", meta.clock)
        before, after = (None if text is None else now - seconds(text) for text in (older, newer))
        wanted = Past(tuple(names), queue, tuple(states), after, before)
        rows = database.read("archive", lambda c: past.find(c, wanted, limit=limit))
    lines = [(r.source, r.external_id, r.queue, r.state, clock(r.created), clock(r.ended)) for r in rows]
    show.table("Archive (UTC)", ("source", "job", "queue", "state", "came", "ended"), lines)


@archive.command()
@click.option("--older", required=True, metavar="SPAN", help="That ended before that, as 90d.")
@why_option
@dry_run_option
def prune(older: str, why: str, dry_run: bool) -> None:
    """Delete jobs from the archive for good; nothing can tell of them after that."""
    older_s = seconds(older)
    with closing(_open()) as database:
        if dry_run:
            n = database.read("archive", lambda c: past.older(c, older_s))
            click.echo(f"would delete {some(n, 'job')} from the archive")
            return
        deleted = 0
        with bar("prune", lambda: database.read("archive", lambda c: past.older(c, older_s))) as advance:
            for n in prune_pages(database, older_s, who=operator(), why=why):
                deleted += n
                advance(n)
        click.echo(f"deleted {some(deleted, 'job')} from the archive")


def _open() -> Database:
    database = Database(load_core().database.connect_url())
    migrate.check(database)
    return database
