"""actctl web: the web server of the tower."""

from __future__ import annotations

import click

from act.config import CoreConfig, load_core
from act.db import migrate
from act.db.engine import Database
from act.log import setup as setup_logging
from act.storage import Store


@click.command()
def web() -> None:
    """Serve REST to users in the foreground, until SIGTERM. SIGHUP reads configuration and certificate anew."""
    # Flask and gunicorn are loaded for this command only: the tower's daemons need neither
    from act.web.app import create_app
    from act.web.server import Server

    config = load_core()
    setup_logging("web", config.logging.level, config.logging.format)
    database = Database(config.database.connect_url())
    migrate.check(database)
    database.close()

    def app(config: CoreConfig) -> object:
        connections = Database(config.database.connect_url(), pool=config.web.threads + 2)
        return create_app(config, connections, Store(config.paths.store_dir))

    Server(load_core, app).run()
