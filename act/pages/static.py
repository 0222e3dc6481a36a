"""The report: overview, queues, CEs and errors in one page that stands alone, for any web server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from sqlalchemy import Connection

from act.config import CoreConfig
from act.db.engine import Database
from act.explain.moment import Moment
from act.interfaces import Application
from act.pages import ces, errors, overview, queues
from act.pages.errors import Wanted
from act.pages.render import asset, render


def report(database: Database, config: CoreConfig, applications: Sequence[Application]) -> str:
    """The page, of one moment."""

    def read(connection: Connection) -> str:
        moment = Moment.read(connection, config, None, None)
        return render(
            "report.html", now=moment.now, static=True, policy=policy(),
            m=overview.read(connection, moment, applications, overview.SPANS["1d"]),
            queues=queues.listing(connection, applications), ces=ces.listing(connection, moment),
            errors=errors.read(connection, moment, Wanted.of("", "")),
        )  # fmt: skip

    return database.snapshot("report", read)


def policy() -> str:
    """What the page may do: be seen, with the style that is in it."""
    digest = base64.b64encode(hashlib.sha256(asset("act.css").encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
