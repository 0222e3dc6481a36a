"""As if daemons ran: `actctl explain` looks at what they last said."""

from __future__ import annotations

import socket

from act.db import meta
from tests.integration.panda_tower import PandaTower
from tests.kit import Rows

PANDA_DAEMONS = ("getjob", "panda2arc", "pandastatus", "heartbeat", "archiver", "validator", "cric")
CLIENT_DAEMONS = ("client2arc", "client2condor", "clientstatus")
ARC_DAEMONS = ("submitter-arc", "reconciler-arc", "status-arc", "fetcher-arc", "canceller-arc", "cleaner-arc")
FAKE_DAEMONS = tuple(name.replace("arc", "fake") for name in ARC_DAEMONS)


def beat(rows: Rows, *daemons: str, host: str = "") -> None:
    """As if these ran, and had just said so."""
    for name in daemons:
        rows.db.run("t", lambda c, n=name: meta.report(c, host or socket.gethostname(), n, 1))


def pass_time(tower: PandaTower, seconds: float) -> None:
    """The daemons run on meanwhile."""
    tower.pass_time(seconds)
    beat(tower, *PANDA_DAEMONS, *ARC_DAEMONS)
