"""The test grid's pools as their administrator sees them."""

from __future__ import annotations

import time
from typing import Any

from act_condor.workers import Client, workers
from tests.grid.control import Grid


def at_the_site(pool: str, op: str, **request: Any) -> Any:
    """What its administrator does there."""
    place = Grid().pool(pool)
    client = Client({"CONDOR_CONFIG": str(Grid().client_config("root"))})
    try:
        return workers.call(
            client, time.monotonic() + 30, op=op, collector=place.collector, schedd=place.schedd, **request
        )
    finally:
        workers.forget(client)
