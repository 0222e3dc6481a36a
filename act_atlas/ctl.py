"""actctl's commands about PanDA jobs."""

from __future__ import annotations

from collections.abc import Sequence

import click

from act.cli import show
from act.config import load_core
from act.db import meta, migrate
from act.db.engine import AnyRow, Database
from act.figures import SLOTS
from act_atlas import db
from act_atlas.states import PANDAJOB, RUNNING


@click.command()
@click.option("--state", "states", multiple=True, type=click.Choice(PANDAJOB.states), metavar="STATE",
              help=f"Only these, may be repeated: {', '.join(PANDAJOB.states)}.")  # fmt: skip
@click.option("--queue", help="Only of this PanDA queue.")
@click.option("--limit", type=click.IntRange(1), metavar="N", default=50, show_default=True, help="At most so many.")
@click.option("--summary", is_flag=True, help="Numbers by queue and state instead.")
def jobs(states: Sequence[str], queue: str | None, limit: int, summary: bool) -> None:
    """PanDA jobs, the newest first; 'actctl explain' tells the whole story of one."""
    database = Database(load_core().database.connect_url())
    migrate.check(database)
    if summary:
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
    present = {state for _, state, *_ in counts}
    states = [s for s in PANDAJOB.states if s in present]
    by_queue: dict[str, dict[str, int]] = {}
    for queue, state, n, cores in counts:
        by_queue.setdefault(queue, {})[state] = n
        if state == RUNNING:
            by_queue[queue][SLOTS] = cores
    columns = (*states, SLOTS)
    rows = [(queue, *(by_queue[queue].get(c, "") for c in columns)) for queue in sorted(by_queue)]
    show.table("PanDA jobs by queue and state", ("queue", *columns), rows)
    due, oldest_s = database.read("due", db.heartbeats_due)
    click.echo(f"{due} heartbeats are due, the oldest for {show.age(oldest_s)}.")
