"""How many jobs a PanDA queue may get from PanDA, and why no more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from act.db.engine import AnyRow
from act.db.orders import Kind, Standing, What
from act.interfaces import plugin
from act_atlas.config import Panda
from act_atlas.queueinfo import QueueInfo

# Daemon -> the CE type it makes attempts for.
MAKERS = {"panda2arc": "arc", "panda2condor": "condor"}
# Status of a queue in which it gets jobs -> prodSourceLabel to ask for, None: as its type says.
ASKED = {"online": None, "brokeroff": None, "test": "prod_test"}


@dataclass(frozen=True, slots=True)
class Room:
    """How many more jobs a queue may get. why: for people; without room, what it lacks."""

    jobs: int
    why: str


def room(queue: QueueInfo, waiting: int, running: int, panda: Panda, ordered: Standing) -> Room:
    """waiting, running: jobs of the queue that are here already. Orders win over limits of the queue's own."""
    if reason := closed(queue):
        return Room(0, reason)
    if (order := ordered.unwanted(Kind.QUEUE, queue.name)) is not None:
        return Room(0, f"by order of {order.who}: {order.why}")
    orders = ordered.of(Kind.QUEUE, queue.name)
    limit, of = max(panda.minjobs, int(panda.waiting_fraction * running)), "panda/minjobs and waiting_fraction"
    most, source = _limit(orders.get(What.MAX_WAITING), queue.max_waiting)
    if most is not None:
        limit, of = most, f"max_waiting {source}"
    most, source = _limit(orders.get(What.MAX_JOBS), queue.maxjobs)
    if most is not None and most - running < limit:
        limit, of = most - running, f"maxjobs {source}, {most}, without the {running} that run"
    left = max(0, limit - waiting)
    return Room(left, f"{waiting} wait of at most {max(0, limit)} ({of})")


def _limit(order: AnyRow | None, own: int | None) -> tuple[int | None, str]:
    """A limit, None: there is none; and where it comes from."""
    return (own, "of the queue") if order is None else (order.value, f"by order of {order.who}")


def closed(queue: QueueInfo) -> str:
    """Why a queue gets no jobs at all, "" if it may."""
    if queue.status not in ASKED:
        return f"its status is '{queue.status}'"
    if not queue.push:
        return "it is not a push queue (CRIC's workflow, or push in the local settings)"
    return no_ce(queue)


def no_ce(queue: QueueInfo) -> str:
    """Why a queue has no CE that its jobs could go to, "" if it has."""
    if any(queue.candidates(flavour) for flavour in MAKERS.values() if not missing(flavour)):
        return ""
    there = sorted({e.flavour for e in queue.endpoints})
    for flavour in there:
        if flavour in MAKERS.values() and not queue.suits(flavour):
            return (f"its CEs are of type {flavour}, which runs true pilots only, and it is in NorduGrid mode (CRIC's "
                    "copytools, or truepilot in the local settings)")  # fmt: skip
        if flavour in MAKERS.values():
            return f"its CEs are of type {flavour}: {missing(flavour)}"
    only = ", ".join(there)
    return f"it has no CE of a type that is served{f', only {only}' if only else ': none is active'}"


@cache
def missing(flavour: str) -> str:
    """Why CEs of a type cannot be spoken to from this host, "" if they can."""
    why: str = plugin("act.ce", flavour).missing()
    return why
