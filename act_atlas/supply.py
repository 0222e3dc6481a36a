"""How many jobs a PanDA queue may get from PanDA, and why no more. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from act_atlas.config import Panda
from act_atlas.queueinfo import QueueInfo

# Daemon -> the CE type it makes attempts for.
MAKERS = {"panda2arc": "arc"}
# Status of a queue in which it gets jobs -> prodSourceLabel to ask for, None: as its type says.
ASKED = {"online": None, "brokeroff": None, "test": "prod_test"}


@dataclass(frozen=True, slots=True)
class Room:
    """How many more jobs a queue may get. why: for people; without room, what it lacks."""

    jobs: int
    why: str


def room(queue: QueueInfo, waiting: int, running: int, panda: Panda) -> Room:
    """waiting, running: jobs of the queue that are here already."""
    if reason := closed(queue, MAKERS.values()):
        return Room(0, reason)
    limit, of = max(panda.minjobs, int(panda.waiting_fraction * running)), "panda/minjobs and waiting_fraction"
    if queue.max_waiting is not None:
        limit, of = queue.max_waiting, "max_waiting of the queue"
    if queue.maxjobs is not None and queue.maxjobs - running < limit:
        limit, of = queue.maxjobs - running, f"maxjobs of the queue, {queue.maxjobs}, without the {running} that run"
    left = max(0, limit - waiting)
    return Room(left, f"{waiting} wait of at most {max(0, limit)} ({of})")


def closed(queue: QueueInfo, served: Collection[str]) -> str:
    """Why a queue gets no jobs at all, "" if it may. served: the CE types that attempts are made for."""
    if queue.status not in ASKED:
        return f"its status is '{queue.status}'"
    if not queue.push:
        return "it is not a push queue (CRIC's workflow, or push in the local settings)"
    if not any(e.flavour in served for e in queue.endpoints):
        there = ", ".join(sorted({e.flavour for e in queue.endpoints}))
        return f"it has no CE of a type that is served{f', only {there}' if there else ': none is active'}"
    return ""
