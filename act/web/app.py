"""The web application: what it is made of, and what holds for every request."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

from flask import Flask, Response, g, request

from act import metrics
from act.client.identity import Gate
from act.client.jobs import Jobs
from act.config import CoreConfig
from act.db.engine import Database
from act.storage import Store
from act.web import errors, forwarded, legacy, pages, v1
from act.web import metrics as told
from act.web.routes import blueprint

log = logging.getLogger(__name__)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def create_app(config: CoreConfig, db: Database, store: Store) -> Flask:
    """The app over a database and a store; make it after forking."""
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    gate, jobs = Gate(config, db), Jobs(config, db, store)
    errors.install(app)
    _watch(app)
    forwarded.install(app, config.web.forwarder)
    app.register_blueprint(blueprint("v1", v1.Views(config, db, gate, jobs), gate), url_prefix=v1.BASE)
    app.register_blueprint(blueprint("legacy", legacy.Views(config, gate, jobs), gate))
    if config.web.pages != "off":
        pages.install(app, config, db, gate, store)
    if not config.metrics.disabled:
        app.register_blueprint(told.blueprint(config, db))
    return app


def _watch(app: Flask) -> None:
    """Number and log every request, and make every answer harmless to a browser."""

    @app.before_request
    def begin() -> None:
        g.request_id, g.begun = secrets.token_hex(8), time.monotonic()

    @app.after_request
    def end(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if response.status_code == 204:
            response.headers.pop("Content-Type", None)
        response.headers["X-Request-Id"] = g.request_id
        _log(response.status_code)
        metrics.request(request.blueprint or "none", response.status_code, time.monotonic() - g.begun)
        return response


def _log(status: int) -> None:
    who: Any = g.get("caller")
    log.info(
        "%s %s %s -> %d, user %s, %.0f ms to the head of the answer", g.request_id, request.method,
        ascii(request.path), status, who.user_id if who else "-", (time.monotonic() - g.begun) * 1000,
    )  # fmt: skip
