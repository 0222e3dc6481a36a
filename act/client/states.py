"""The state machine of jobs that people submit (``clientjobs``), as data."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib.metadata import entry_points

from act.config import CoreConfig
from act.states import DAY, HOUR, Deadline, Machine, NextStep, diagram, steps

# Daemon -> the CE type it makes attempts for: one for each type that is installed.
MAKERS = {f"client2{flavour}": flavour for flavour in sorted(e.name for e in entry_points(group="act.ce"))}


class Event(StrEnum):
    """What can happen to a job that somebody submits."""

    CONFIRM = "confirm"  # description and files are complete
    ABANDON = "abandon"  # the submission was given up, or never went on
    ATTEMPT = "attempt"  # an attempt was made for it
    UNFIT = "unfit"  # no attempt can be made for it
    KILL = "kill"  # before there was an attempt
    DONE = "done"  # the attempt ended well, and its files are here
    BROKEN = "broken"  # the attempt ended badly
    STOPPED = "stopped"  # the attempt was ended before its time
    RESUBMIT = "resubmit"  # its owner wants another attempt
    REQUEUE = "requeue"  # its attempt left its CE before it ran, as an operator wanted
    CLEAN = "clean"  # its owner does not need it any more, or it was kept for long enough
    CLEANED = "cleaned"  # nothing of it is left


_MAKERS = " ".join(MAKERS)
_ENDED = "finished failed cancelled"

FLOW = steps(
    [
        # from, event, to, owner
        ("begun", Event.CONFIRM, "sent", "user"),
        ("begun", Event.ABANDON, "toclean", "user operator clientstatus"),
        ("sent", Event.ATTEMPT, "active", _MAKERS),
        ("sent", Event.UNFIT, "failed", f"{_MAKERS} clientstatus"),
        ("sent", Event.KILL, "cancelled", "user operator"),
        ("active", Event.DONE, "finished", "clientstatus"),
        ("active", Event.BROKEN, "failed", "clientstatus"),
        ("active", Event.STOPPED, "cancelled", "clientstatus"),
        ("active", Event.REQUEUE, "sent", "clientstatus"),
        ("failed cancelled", Event.RESUBMIT, "sent", "user operator"),
        (_ENDED, Event.CLEAN, "toclean", "user operator clientstatus"),
        ("toclean", Event.CLEANED, "removed", "clientstatus"),
    ]
)

# Some have other limits by the configuration: see `limits`.
DEADLINES = {
    d.state: d
    for d in (
        Deadline("begun", HOUR, Event.ABANDON, "its submission was begun and never confirmed"),
        Deadline("sent", 7 * DAY, Event.UNFIT, "no attempt could be made for it in 7 days"),
        Deadline("active", 60 * DAY, Event.BROKEN, "its attempt did not end in 60 days"),
        Deadline("finished", 30 * DAY, Event.CLEAN, "it was kept for as long as ended jobs are"),
        Deadline("failed", 30 * DAY, Event.CLEAN, "it was kept for as long as ended jobs are"),
        Deadline("cancelled", 30 * DAY, Event.CLEAN, "it was kept for as long as ended jobs are"),
        Deadline("toclean", 60 * DAY, Event.CLEANED, "its files could not be removed in 60 days"),
    )
}

# "maker" stands for the daemon that makes attempts for the CE type of the job.
NEXT = {
    "begun": NextStep("user", "uploads its files and confirms it"),
    "sent": NextStep("maker", "makes an attempt for it"),
    "active": NextStep("clientstatus", "carries over what becomes of its attempt", far=True),
    "finished": NextStep("user", "takes its results, and cleans it"),
    "failed": NextStep("user", "looks at what it left, and resubmits or cleans it"),
    "cancelled": NextStep("user", "resubmits or cleans it"),
    "toclean": NextStep("clientstatus", "removes it and its files"),
}

CLIENTJOB = Machine("clientjob", "begun", frozenset({"removed"}), FLOW, DEADLINES)

OVER = ("finished", "failed", "cancelled")

# What users see a job as: the state of its attempt in words, mostly.
SHOWN = ("tosubmit", "quarantined", "submitting", "submitted", "holding", "running", "finishing", "finished", "failed",
         "tofetch", "tocancel", "cancelling", "torerun", "done", "donefailed", "cancelled", "lost")  # fmt: skip


def limits(config: CoreConfig) -> dict[str, float]:
    """State -> seconds that a job may be in it, by the configuration of a tower."""
    own = {"begun": config.users.begun_s} | dict.fromkeys(OVER, config.users.keep_days * DAY)
    return {state: own.get(state, deadline.seconds) for state, deadline in DEADLINES.items()}


if __name__ == "__main__":
    sys.stdout.write(diagram(CLIENTJOB))
