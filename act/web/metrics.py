"""/metrics for Prometheus: answered to the networks that may ask, and for all others not there."""

from __future__ import annotations

from ipaddress import ip_network

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from act import exposition
from act.config import CoreConfig
from act.db.engine import Database
from act.web.forwarded import within


def blueprint(config: CoreConfig, db: Database) -> Blueprint:
    """The one route, for an app whose configuration does not disable metrics."""
    made = Blueprint("metrics", __name__)
    allowed = [ip_network(network) for network in config.metrics.allow]

    @made.get("/metrics")
    def metrics() -> Response:
        """All metrics of this host and of the tower."""
        if not within(request.remote_addr or "", allowed):
            raise NotFound
        return Response(exposition.render(db, config), content_type=exposition.CONTENT_TYPE)

    return made
