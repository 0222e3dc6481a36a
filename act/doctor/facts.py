"""What the database knows, read once for all looks that need it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from act.db import ces, credentials, lanes, meta, server
from act.db.engine import AnyRow, Database


@dataclass(frozen=True)
class Facts:
    """now: the database's time; ahead_s: by how much it is ahead of this host's; took_s: how long reading took.

    ces: each CE with the breaker of each host. proxies by role, tokens by the URL of their CE, both without secrets.
    """

    now: float
    ahead_s: float
    took_s: float
    server: server.Server
    stopped: str | None = None
    daemons: Sequence[AnyRow] = ()
    ces: Sequence[AnyRow] = ()
    lanes: Sequence[AnyRow] = ()
    proxies: Mapping[str, AnyRow] = field(default_factory=dict)
    tokens: Mapping[str, AnyRow] = field(default_factory=dict)

    @property
    def hosts(self) -> set[str]:
        """Where daemons have run in the last day."""
        return {d.host for d in self.daemons if d.age_s < 86400}


def read(database: Database) -> Facts:
    """Everything at one moment. Raises DatabaseBusy."""
    database.read("doctor", meta.clock)  # the connection is there now, so that what follows tells the latency

    def work(connection: Connection) -> Facts:
        before = time.time()
        now = meta.clock(connection)
        after = time.time()
        return Facts(
            now=now,
            ahead_s=now - (before + after) / 2,
            took_s=after - before,
            server=server.read(connection),
            stopped=meta.stopped(connection),
            daemons=meta.daemon_rows(connection),
            ces=ces.all_of(connection),
            lanes=lanes.all_of(connection),
            proxies=credentials.by_role(connection),
            tokens=credentials.all_tokens(connection),
        )

    return database.snapshot("doctor", work)
