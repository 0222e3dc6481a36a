"""PanDA as the tower sees it: jobs handed over, updates sent, answers understood. Two protocols, one surface.

``v1`` is the interface of today's servers (/api/v1/...), ``legacy`` that of servers up to 0.8.1 (/server/panda/...).
"""

from __future__ import annotations

from collections.abc import Callable

from act.errors import ConfigError
from act_atlas.panda.client import (
    BULK,
    Acquired,
    JobStatus,
    PandaClient,
    PandaServer,
    QueueStats,
    UpdateResult,
    may_hold_jobs,
)
from act_atlas.panda.http import Http
from act_atlas.panda.jobs import AcquiredJob, MalformedJob
from act_atlas.panda.legacy import LegacyClient
from act_atlas.panda.updates import JobUpdate
from act_atlas.panda.v1 import V1Client

__all__ = [
    "BULK",
    "Acquired",
    "AcquiredJob",
    "JobStatus",
    "JobUpdate",
    "MalformedJob",
    "PandaClient",
    "PandaServer",
    "QueueStats",
    "UpdateResult",
    "connect",
    "may_hold_jobs",
]

_PROTOCOLS: dict[str, Callable[[Http], PandaClient]] = {"v1": V1Client, "legacy": LegacyClient}


def connect(server: PandaServer) -> PandaClient:
    """A client for the server's protocol. No network call yet.

    Raises ConfigError for what no retry can mend, CredentialError for an unusable proxy. A renewed proxy needs a new
    client.
    """
    try:
        protocol = _PROTOCOLS[server.protocol]
    except KeyError:
        known = ", ".join(_PROTOCOLS)
        raise ConfigError(f"unknown PanDA protocol '{server.protocol}' (known: {known})") from None
    return protocol(Http(server))
