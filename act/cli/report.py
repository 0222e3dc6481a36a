"""actctl report: the tower on one page."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from act.config import load_core
from act.db import migrate
from act.db.engine import Database
from act.files import write_file
from act.interfaces import plugins
from act.pages import static


@click.command()
@click.option("--html", "target", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE",
              help="Where the page goes, '-' for the terminal. A page that is there is replaced.")  # fmt: skip
def report(target: Path) -> None:
    """Write a page that stands alone: is all well, queues, CEs, errors. The daemon report keeps one fresh, where the
    configuration names it (report/html_file)."""
    config = load_core()
    database = Database(config.database.connect_url())
    migrate.check(database)
    page = static.report(database, config, [a for _, a in sorted(plugins("act.app").items())])
    database.close()
    if str(target) == "-":
        sys.stdout.write(page)
        return
    write_file(target, page.encode(), mode=0o644)
    click.echo(f"{target}: written, {len(page.encode()) / 1000:.0f} kB")
