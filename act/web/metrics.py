"""/metrics for Prometheus: answered to the networks that may ask, and for all others not there."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from act import exposition
from act.config import CoreConfig
from act.db.engine import Database


def blueprint(config: CoreConfig, db: Database) -> Blueprint:
    """The one route, for an app whose configuration does not disable metrics."""
    made = Blueprint("metrics", __name__)
    allowed = [ip_network(network) for network in config.metrics.allow]

    @made.get("/metrics")
    def metrics() -> Response:
        """All metrics of this host and of the tower."""
        asking = ip_address(request.remote_addr or "::")
        asking = getattr(asking, "ipv4_mapped", None) or asking  # as a socket for both calls IPv4 addresses
        if not any(asking in network for network in allowed):
            raise NotFound
        return Response(exposition.render(db, config), content_type=exposition.CONTENT_TYPE)

    return made
