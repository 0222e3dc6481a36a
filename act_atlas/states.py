"""The PanDA job's state machine (``actpandastatus``), as data."""

from __future__ import annotations

import sys
from enum import StrEnum

from act.states import DAY, Deadline, Machine, NextStep, diagram, steps


class Event(StrEnum):
    """What can happen to a PanDA job in the tower."""

    ATTEMPT = "attempt"  # an attempt was made for it
    UNFIT = "unfit"  # it cannot be expressed as a request
    WAITING = "waiting"  # the attempt waits, or waits again, for a CE or a slot
    RUNNING = "running"
    FINISHING = "finishing"  # the CE stages out, for a while already
    ENDED = "ended"  # the attempt ended well
    BROKEN = "broken"  # the attempt ended badly
    VALID = "valid"  # nothing left to check
    RESUBMIT = "resubmit"  # another attempt is worth it, once the outputs of this one are gone
    RETRY = "retry"  # they are
    GIVEUP = "giveup"
    CLEANED = "cleaned"
    KILL = "kill"  # PanDA or an operator wants its end
    KILLED = "killed"
    REPORTED = "reported"  # PanDA knows the end


_ALIVE = "starting running transferring"

FLOW = steps(
    [
        # from, event, to, owner
        ("sent", Event.ATTEMPT, "starting", "panda2arc panda2condor"),
        ("sent", Event.UNFIT, "failed", "panda2arc panda2condor archiver"),
        (_ALIVE, Event.WAITING, "starting", "pandastatus"),
        (_ALIVE, Event.RUNNING, "running", "pandastatus"),
        (_ALIVE, Event.FINISHING, "transferring", "pandastatus"),
        (_ALIVE, Event.ENDED, "tovalidate", "pandastatus"),
        (f"{_ALIVE} tovalidate tobekilled", Event.BROKEN, "toclean", "pandastatus validator archiver"),
        ("tovalidate", Event.VALID, "finished", "pandastatus validator"),
        (f"{_ALIVE} tovalidate", Event.RESUBMIT, "toresubmit", "pandastatus validator"),
        ("toclean failed", Event.RESUBMIT, "toresubmit", "operator"),
        ("toresubmit", Event.RETRY, "sent", "validator"),
        ("toresubmit", Event.GIVEUP, "toclean", "validator archiver"),
        ("toclean", Event.CLEANED, "failed", "pandastatus validator archiver"),
        (f"sent {_ALIVE}", Event.KILL, "tobekilled", "heartbeat operator archiver"),
        ("tovalidate toresubmit", Event.KILL, "toclean", "heartbeat operator"),
        ("tobekilled", Event.KILLED, "cancelled", "pandastatus heartbeat archiver operator"),
        ("finished", Event.REPORTED, "done", "heartbeat archiver"),
        ("failed", Event.REPORTED, "donefailed", "heartbeat archiver"),
        ("cancelled", Event.REPORTED, "donecancelled", "heartbeat archiver"),
    ]
)

DEADLINES = {
    d.state: d
    for d in (
        Deadline("sent", 7 * DAY, Event.UNFIT, "no attempt could be made for it in 7 days"),
        Deadline("starting", 30 * DAY, Event.KILL, "starting for 30 days"),
        Deadline("running", 30 * DAY, Event.KILL, "running for 30 days"),
        Deadline("transferring", 10 * DAY, Event.KILL, "transferring for 10 days"),
        Deadline("tovalidate", 2 * DAY, Event.BROKEN, "its outputs could not be validated in 2 days"),
        Deadline("toresubmit", 2 * DAY, Event.GIVEUP, "its outputs could not be removed in 2 days"),
        Deadline("toclean", 2 * DAY, Event.CLEANED, "its outputs could not be removed in 2 days"),
        Deadline("tobekilled", 10 * DAY, Event.KILLED, "its attempt did not end in 10 days"),
        Deadline("finished", 7 * DAY, Event.REPORTED, "PanDA took no report in 7 days"),
        Deadline("failed", 7 * DAY, Event.REPORTED, "PanDA took no report in 7 days"),
        Deadline("cancelled", 7 * DAY, Event.REPORTED, "PanDA took no report in 7 days"),
    )
}

# "maker" stands for the daemon that makes attempts for the CE type of the queue.
NEXT = {
    "sent": NextStep("maker", "makes an attempt for it"),
    "starting": NextStep("pandastatus", "carries over what becomes of its attempt", far=True),
    "running": NextStep("pandastatus", "carries over what becomes of its attempt", far=True),
    "transferring": NextStep("pandastatus", "carries over what becomes of its attempt", far=True),
    "tobekilled": NextStep("pandastatus", "carries over that its attempt has ended", far=True),
    "tovalidate": NextStep("validator", "looks at its outputs on the storage"),
    "toresubmit": NextStep("validator", "removes the outputs of the last attempt, so that it is tried again"),
    "toclean": NextStep("validator", "removes its outputs"),
    "finished": NextStep("heartbeat", "tells PanDA the end"),
    "failed": NextStep("heartbeat", "tells PanDA the end"),
    "cancelled": NextStep("heartbeat", "tells PanDA the end"),
}

PANDAJOB = Machine("pandajob", "sent", frozenset({"done", "donefailed", "donecancelled"}), FLOW, DEADLINES)

# As operators know them, in the order of their tables.
SHOWN = ("sent", "starting", "running", "transferring", "tovalidate", "toresubmit", "toclean", "finished", "done",
         "failed", "donefailed", "tobekilled", "cancelled", "donecancelled")  # fmt: skip

# The job waits, in PanDA's sense, for a slot.
WAITING = ("sent", "starting")
RUNNING = "running"
ALIVE = ("sent", "starting", "running", "transferring")
# The attempt is over, but PanDA does not hear the end yet: outputs are looked at or removed.
ON_STORAGE = ("tovalidate", "toresubmit", "toclean")
# The tower knows the end, PanDA may not.
TO_REPORT = ("finished", "failed", "cancelled")

if __name__ == "__main__":
    sys.stdout.write(diagram(PANDAJOB))
