"""actctl: what operators start, look at and steer the tower with. Thin: parse, call, render."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from act import __version__, metrics
from act.cli import orders, setup, show
from act.cli.alive import alive
from act.cli.archive import archive
from act.cli.doctor import doctor
from act.cli.explain import explain
from act.cli.job import job
from act.cli.report import report
from act.cli.web import web
from act.config import CORE_FILE, CoreConfig, load_core
from act.daemons import registry
from act.db import meta, migrate
from act.db.engine import Database
from act.errors import ActError, ConfigError, CredentialError, DatabaseBusy, TemporaryError
from act.interfaces import plugins
from act.log import setup as setup_logging
from act.master import Master

EX_CONFIG, EX_TEMPFAIL, EX_BAD_INPUT = 78, 75, 2


class _Group(click.Group):
    """Turns errors of the tower into a message and an exit code; no traceback for what an operator can mend."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _die(str(error), EX_CONFIG)
        except (TemporaryError, CredentialError) as error:
            _die(str(error), EX_TEMPFAIL)
        except ActError as error:
            _die(str(error), 1)


def _die(message: str, code: int) -> None:
    click.echo(f"actctl: {message}", err=True)
    sys.exit(code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="actctl")
def main() -> None:
    """Operate the tower. Configuration is found by $ACTCONFIGARC and $ACTCONFIGATLAS, in $VIRTUAL_ENV/etc/act,
    /etc/act, or here."""


@main.command()
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), default=Path(), show_default=True,
              help="Where configuration and data of a try-out go.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite configuration files that are there.")
def init(directory: Path, force: bool) -> None:
    """Make directories, configuration from templates, the key file and the database. Safe to repeat."""
    for line in setup.write_config(directory, force=force):
        click.echo(line)
    for line in setup.prepare(load_core(directory / CORE_FILE)):
        click.echo(line)


@main.command()
def run() -> None:
    """Run the tower in the foreground: the master and all its daemons, until SIGTERM."""
    config = load_core()
    setup.check_config()
    told = config.logging
    setup_logging("master", told.level, told.format, moves=told.moves, file=told.file)
    metrics.wipe(config.paths.metrics_dir)
    _wait_for_database(config)
    sys.exit(Master(config.paths.run_dir, setup.specs(config), reload=setup.reload).run())


def _wait_for_database(config: CoreConfig) -> None:
    """A database that is down at the start is waited for; a wrong schema is not."""
    database = Database(config.database.connect_url())
    told = 0.0
    while True:
        try:
            migrate.check(database)
            break
        except DatabaseBusy as error:
            if time.monotonic() - told > 60 or not told:
                click.echo(f"actctl: waiting: {error}", err=True)
                told = time.monotonic()
            time.sleep(1)
    database.close()


@main.command()
@click.argument("name")
@click.option("--once", is_flag=True, help="One pass over all lanes, then end.")
def daemon(name: str, once: bool) -> None:
    """Run one daemon in the foreground, for looking into it."""
    config = load_core()
    setup_logging(name, config.logging.level, config.logging.format, moves=config.logging.moves)
    runner = registry.build(name, config)
    try:
        if once:
            click.echo(f"{name}: {runner.once()} moved")
            if troubles := runner.daemon.troubles():
                _die("\n".join(troubles), EX_TEMPFAIL)
        else:
            sys.exit(runner.run(lambda: None, _until_signal()))
    finally:
        runner.daemon.close()
        runner.context.close()


def _until_signal() -> Callable[[], bool]:
    wanted: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: wanted.append(n))
    return lambda: bool(wanted)


@main.group()
def db() -> None:
    """The database."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema to this release."""
    database = Database(load_core().database.connect_url())
    click.echo(f"schema: {', '.join(migrate.upgrade(database))}")


@db.command("clone-identity")
@click.option("--hold", is_flag=True, help="Submit nothing, until this command is given again without it.")
@click.confirmation_option(prompt="Jobs that the original of this database has at CEs will be foreign here. Go on?")
def db_clone_identity(hold: bool) -> None:
    """Give a copied or restored database an identity of its own, and let it submit again."""
    database = Database(load_core().database.connect_url())
    migrate.check(database)
    why = "'actctl db clone-identity --hold' was given; without --hold it lets submission go on" if hold else None
    click.echo(f"new identity: {database.run('clone', lambda c: meta.clone_identity(c, hold=why))}")


@main.group()
def config() -> None:
    """The configuration."""


@config.command("check")
def config_check() -> None:
    """Read all configuration files and tell every error at once."""
    loaded = setup.check_config()
    for path in loaded:
        click.echo(f"{path}: good")


@main.command()
@click.option("--watch", type=click.FloatRange(min=1), metavar="S", help="Show again every S seconds.")
def status(watch: float | None) -> None:
    """Daemons, CEs and jobs by state, and what is wrong."""
    loaded = load_core()
    database = Database(loaded.database.connect_url())
    migrate.check(database)
    while True:
        show.status(database, loaded)
        if watch is None:
            return
        time.sleep(watch)
        click.clear()


main.add_command(alive)
main.add_command(archive)
main.add_command(doctor)
main.add_command(explain)
main.add_command(job)
for command in (orders.drain, orders.pause, orders.limit, orders.resume, orders.listing):
    main.add_command(command)
main.add_command(report)
main.add_command(web)


def _add_plugin_commands() -> None:
    for application in plugins("act.app").values():
        for command in application.commands():
            main.add_command(command)


_add_plugin_commands()
