"""cric: fetches the facts of queues; the last good answer stays while CRIC is away."""

from __future__ import annotations

import logging
import time

from act.daemons.base import Key
from act.daemons.context import Context
from act_atlas.daemons.base import AtlasDaemon

log = logging.getLogger(__name__)


class Cric(AtlasDaemon):
    """Refreshes the table of queues every interval."""

    kind = "cric"

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        super().__init__(context, name, flavour)
        self._due = 0.0

    def work(self, lane: Key) -> int:
        if time.monotonic() < self._due:
            return 0
        table = self.cric.refresh()
        for problem in table.problems:
            log.warning("CRIC: %s", problem)
        self._due = time.monotonic() + self.atlas.cric.interval_s
        return 0
