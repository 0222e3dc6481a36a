"""Jobs as operators choose them and see them, whatever application they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verb(StrEnum):
    """What may be done to jobs."""

    KILL = "kill"  # it ends as soon as may be, and whoever it belongs to is told
    RESUBMIT = "resubmit"  # one that ended badly gets another attempt
    REQUEUE = "requeue"  # one that waits at a CE leaves it and waits for any CE again
    CLEAN = "clean"  # nothing of an ended one is kept any longer
    QUARANTINE = "quarantine"  # one that waits for a CE goes to none until it is released
    RELEASE = "release"
    PRIORITY = "priority"  # a new priority while it waits for a CE
    MOVE = "move"  # one that waits for a CE may go to these CE queues instead
    REPLAY = "replay"  # its source is told again what it was told last


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs; what is not said does not matter, and all that is said must hold.

    app: name of an application. names: as `JobLine.name`. states: of the job or of its current attempt. queue: the
    application's queue. share: of the attempt. ce: a text in the URL of the attempt's CE. error: a text in what went
    wrong. node: the attempt's. older_s: for so long in its state.
    """

    app: str = ""
    names: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    queue: str = ""
    share: str = ""
    ce: str = ""
    error: str = ""
    node: str = ""
    older_s: float | None = None


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job in a list. name: what `explain` finds it by. cejob_id: its current attempt. since: of ``state``."""

    app: str
    id: int
    name: str
    queue: str
    owner: str
    state: str
    attempt_state: str
    since: float
    cejob_id: int | None
    ce: str
    node: str
    priority: int
    error: str
