"""What is wrong between PanDA and the tower."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from act.alarms.alarm import Alarm, Severity
from act.explain.words import some, span
from act_atlas import db
from act_atlas.config import Panda

LATE_S = 600.0  # several tries have failed then, and PanDA waits for a good deal longer
SOON_LATE_S = 60.0  # one or two tries have
ASKED_S = 180.0  # what comes of asking is noted every minute
WHAT_TO_DO = "see whether PanDA answers ('actctl doctor') and what the daemon {} says"


def of_panda(connection: Connection, panda: Panda) -> Iterator[Alarm]:
    """PanDA answers nobody; or jobs that it has not heard of in time, and soon gives up."""
    asked = db.asks.lately(connection, max(ASKED_S, 3 * panda.getjob_max_s))
    if asked and all(row.error for row in asked):
        text = f"PanDA was asked for jobs of {some(len(asked), 'queue')} in vain: {asked[0].error}"
        yield Alarm("panda_down", Severity.CRITICAL, panda.server, text, WHAT_TO_DO.format("getjob"))
    for late_s, severity in ((LATE_S, Severity.CRITICAL), (SOON_LATE_S, Severity.WARNING)):
        jobs, longest_s = db.unheard(
            connection,
            first_s=panda.first_heartbeat_s + late_s,
            next_s=panda.heartbeat_s + late_s,
            final_s=panda.final_grace_s + late_s,
            retry_s=panda.retry_s,
        )
        if jobs:
            text = f"PanDA has not heard of {some(jobs, 'job')} in time, of one for {span(longest_s)}"
            yield Alarm("panda_unheard", severity, "", text, WHAT_TO_DO.format("heartbeat"))
            return
