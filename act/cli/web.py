"""actctl web: the web server of the tower."""

from __future__ import annotations

import logging
import os

import click

from act import files, metrics
from act.cli.operator import operator
from act.config import CoreConfig, load_core
from act.db import logins, migrate
from act.db.engine import Database
from act.errors import ConfigError
from act.log import rename
from act.log import setup as setup_logging
from act.pages.render import ROOT
from act.storage import Store

NAME = "web"
SAVE_S = 10.0  # as often as daemons do
log = logging.getLogger(__name__)


@click.group(invoke_without_command=True)
@click.pass_context
def web(context: click.Context) -> None:
    """Serve REST to users, and the status pages, in the foreground until SIGTERM. SIGHUP reads configuration and
    certificate anew."""
    if context.invoked_subcommand is None:
        _serve()


@web.command()
@click.option("--operator", "operates", is_flag=True, help="Who follows it may also change things.")
@click.option("--name", help="Who it is for, as events tell it; the login name if it is not said.")
def login(operates: bool, name: str | None) -> None:
    """Print a link to the status pages that lets a browser in: once, within five minutes."""
    from act.web.access import LINK_S

    config = load_core()
    if config.web.pages == "off":
        raise ConfigError("there are no pages: web/pages is off in the configuration")
    database = Database(config.database.connect_url())
    migrate.check(database)
    who = name or operator().removeprefix("operator-")
    code = database.run("login", lambda c: logins.make(c, who, operator=operates, for_s=LINK_S))
    database.close()
    host, _, port = config.web.bind.rpartition(":")
    host = os.uname().nodename if host in ("0.0.0.0", "[::]") else host
    scheme = "http" if config.web.certificate is None else "https"
    if config.web.certificate is None:
        click.echo("where another web server is before this one, put its name in place of this address:", err=True)
    click.echo(f"{scheme}://{host}:{port}{ROOT}/login?code={code}")


@web.command()
@click.argument("name", required=False)
@click.option("--all", "everybody", is_flag=True, help="The sessions of all.")
def logout(name: str | None, everybody: bool) -> None:
    """End the sessions of NAME on the status pages, or all, at once, and links to them that nobody has followed yet."""
    if (name is None) != everybody:
        raise click.UsageError("say whose sessions: NAME, as the pages show it, or --all")
    database = Database(load_core().database.connect_url())
    migrate.check(database)
    ended = database.run("logout", lambda c: logins.end_all(c, name, who=operator()))
    database.close()
    click.echo(f"{ended} {'session has' if ended == 1 else 'sessions have'} ended")


def _serve() -> None:
    # Flask and gunicorn are loaded for this command only: the tower's daemons need neither
    from act.web.app import create_app
    from act.web.server import Server

    config = load_core()
    told = config.logging
    setup_logging(NAME, told.level, told.format, moves=told.moves, file=told.file)
    database = Database(config.database.connect_url())
    migrate.check(database)
    database.close()

    def app(config: CoreConfig) -> object:
        _settle(config)
        connections = Database(config.database.connect_url(), pool=config.web.threads + 2)
        return create_app(config, connections, Store(config.paths.store_dir))

    Server(load_core, app).run()


def _settle(config: CoreConfig) -> None:
    """Each of the server's processes logs and counts for itself."""
    try:
        name = f"{NAME}.{files.take_number(config.paths.run_dir / NAME)}"
    except OSError as error:
        log.warning("nothing is counted for /metrics: %s", error)
        return
    rename(name)
    if not config.metrics.disabled:
        metrics.begin(config.paths.metrics_dir, name)
        metrics.save_every(SAVE_S)
