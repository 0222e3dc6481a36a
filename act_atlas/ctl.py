"""actctl's commands about PanDA jobs."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from act.cli import show
from act.config import load_core
from act.db import cejobs, meta
from act.db.engine import AnyRow, Database
from act.errors import ActError
from act_atlas import db
from act_atlas.states import PANDAJOB


@click.command()
@click.argument("pandaid", type=int, required=False)
@click.option(
    "--state", "states", multiple=True, type=click.Choice(PANDAJOB.states), help="Only these; may be repeated."
)
@click.option("--queue", help="Only of this PanDA queue.")
@click.option("--limit", default=50, show_default=True, help="At most so many.")
@click.option("--summary", is_flag=True, help="Numbers by queue and state instead.")
def jobs(pandaid: int | None, states: Sequence[str], queue: str | None, limit: int, summary: bool) -> None:
    """PanDA jobs, the newest first; with PANDAID: one job and its whole story."""
    database = Database(load_core().database.connect_url())
    if pandaid is not None:
        _story(database, pandaid)
    elif summary:
        _summary(database)
    else:
        rows = database.read("jobs", lambda c: db.listing(c, states=states, queue=queue, limit=limit))
        clock = database.read("clock", meta.clock)
        columns = ("PanDA id", "queue", "state", "for", "told PanDA", "CE", "node", "error")
        show.table("PanDA jobs", columns, [_line(r, clock) for r in rows])
    database.close()


def _line(row: AnyRow, clock: float) -> tuple[object, ...]:
    return (
        row.pandaid,
        row.queue,
        row.state,
        show.age(clock - row.since),
        row.told,
        (row.computing_element or "").removeprefix("https://"),
        row.node,
        (row.error_diag or "")[:60],
    )


def _summary(database: Database) -> None:
    counts = database.read("counts", db.counts)
    present = {state for _, state, _ in counts}
    states = [s for s in PANDAJOB.states if s in present]
    by_queue: dict[str, dict[str, int]] = {}
    for queue, state, n in counts:
        by_queue.setdefault(queue, {})[state] = n
    rows = [(queue, *(by_queue[queue].get(s, "") for s in states)) for queue in sorted(by_queue)]
    show.table("PanDA jobs by queue and state", ("queue", *states), rows)
    due, oldest_s = database.read("due", db.heartbeats_due)
    click.echo(f"{due} heartbeats are due, the oldest for {show.age(oldest_s)}.")


def _story(database: Database, pandaid: int) -> None:
    job = database.read("job", lambda c: db.find(c, pandaid))
    if job is None:
        raise ActError(f"there is no PanDA job {pandaid} here, or it is in the archive")
    attempts = database.read("attempts", lambda c: cejobs.of_application(c, db.SOURCE, job.id))
    told = f", PanDA was told '{job.told}'" if job.told else ""
    click.echo(f"PanDA job {job.pandaid} of queue {job.queue}: {job.state}{told}")
    if job.error_diag:
        click.echo(f"error {job.error_code}: {job.error_diag}")
    story = list(database.read("events", lambda c: cejobs.history(c, db.LEDGER.kind, [job.id])))
    story += database.read("events", lambda c: cejobs.history(c, cejobs.LEDGER.kind, [a.id for a in attempts]))
    rows = [
        (
            time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(e.at)),
            "PanDA job" if e.kind == db.LEDGER.kind else f"attempt {e.job_id}",
            e.source if e.source == e.target else f"{e.source} -> {e.target}",
            e.event,
            e.who,
            e.why,
        )
        for e in sorted(story, key=lambda e: (e.at, e.id))
    ]
    show.table("What happened (UTC)", ("when", "to", "states", "event", "by", "why"), rows)
