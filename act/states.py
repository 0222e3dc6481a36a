"""The state machines as data: states, events, who makes each step, and how long a state may last.

Names have a grammar: ``to<verb>`` is a wish that is being carried out, every other state is a fact.
Only `act.db.moves` writes a state, and only along a `Step` of its machine. Diagrams are generated from here.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0


@dataclass(frozen=True)
class Step:
    """``source --event--> target``, made by one of ``owners`` (kinds of daemon, or "application", "operator")."""

    source: str
    event: str
    target: str
    owners: frozenset[str]


@dataclass(frozen=True)
class Deadline:
    """A row may stay ``seconds`` in ``state``; then ``event`` happens to it. ``why`` is told to people."""

    state: str
    seconds: float
    event: str
    why: str


@dataclass(frozen=True)
class NextStep:
    """Who makes the next step from a state when nothing is in the way: a kind of daemon, "application", "operator".

    does: told to people. far: the far side does it, and the owner only hears of it.
    """

    owner: str
    does: str
    far: bool = False


@dataclass(frozen=True)
class Machine:
    """One state machine. ``initial`` and ``final`` states, ``steps`` and ``deadlines``."""

    name: str
    initial: str
    final: frozenset[str]
    steps: tuple[Step, ...]
    deadlines: Mapping[str, Deadline]

    @cached_property
    def states(self) -> tuple[str, ...]:
        """All states, in the order in which the table names them."""
        return tuple(dict.fromkeys(name for s in self.steps for name in (s.source, s.target)))

    @cached_property
    def _table(self) -> dict[tuple[str, str], Step]:
        return {(s.source, s.event): s for s in self.steps}

    def step(self, state: str, event: str) -> Step | None:
        """The step that ``event`` means for a row in ``state``, or None."""
        return self._table.get((state, event))

    def from_event(self, event: str) -> tuple[str, ...]:
        """The states in which ``event`` means something."""
        return tuple(s.source for s in self.steps if s.event == event)


def diagram(machine: Machine) -> str:
    """The machine as a Mermaid state diagram in Markdown, between the marks that ARCHITECTURE.md has around it."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for s in machine.steps:
        arrows[s.source, s.target].append(s.event)
    body = [f"    [*] --> {machine.initial}"]
    body += [f"    {source} --> {target}: {', '.join(events)}" for (source, target), events in arrows.items()]
    body += [f"    {state} --> [*]" for state in sorted(machine.final)]
    head, tail = f"<!-- begin {machine.name} -->\n```mermaid\nstateDiagram-v2", f"```\n<!-- end {machine.name} -->\n"
    return "\n".join([head, *body, tail])


def steps(rows: Iterable[tuple[str, str, str, str]]) -> tuple[Step, ...]:
    """Table rows (from, event, to, owners) -> steps; several sources or owners are separated by spaces."""
    return tuple(
        Step(source, event, target, frozenset(owners.split()))
        for sources, event, target, owners in rows
        for source in sources.split()
    )


class Event(StrEnum):
    """What can happen to an attempt at a CE."""

    CLAIM = "claim"  # a submitter has chosen the CE queue and reserved room
    ACCEPTED = "accepted"  # the CE gave an id; the job is inert
    ARMED = "armed"  # the job may run now
    PUTBACK = "putback"  # never armed: the submission may be replaced
    REFUSED = "refused"  # no CE queue of the attempt takes it
    UNARMED = "unarmed"  # it ended at the CE without ever having been armed
    WAITING = "waiting"  # the CE has it: staging in, or waiting for a slot
    HELD = "held"
    RUNNING = "running"
    FINISHING = "finishing"  # staging out
    FINISHED = "finished"
    FAILED = "failed"
    STAGEFAILED = "stagefailed"  # failed while staging, and a rerun is worth it
    RESTARTED = "restarted"
    KILLED = "killed"  # the CE says it was cancelled or removed
    GONE = "gone"  # two complete answers without it
    KILLSENT = "killsent"
    FETCHED = "fetched"
    UNFETCHED = "unfetched"  # the files did not come in time
    CLEANED = "cleaned"
    SILENT = "silent"  # no word from the CE past every limit
    EXPIRED = "expired"  # never reached a CE in time
    CANCEL = "cancel"  # wishes of the application
    FETCH = "fetch"
    CLEAN = "clean"
    REQUEUE = "requeue"  # orders of operators: it leaves the CE, and another attempt follows if it never ran
    QUARANTINE = "quarantine"  # no CE gets it
    RELEASE = "release"


# What may be asked for of an attempt that is in doubt, or that somebody has in hand: it is noted, and done later.
WISHES = (Event.CANCEL, Event.FETCH, Event.CLEAN, Event.REQUEUE, Event.QUARANTINE)

_AT_CE = "submitted holding running finishing"
_FOLLOWED = "submitted holding running finishing cancelling"

FLOW = steps(
    [
        # from, event, to, owner
        ("tosubmit", Event.CLAIM, "submitting", "submitter"),
        ("submitting", Event.ACCEPTED, "created", "submitter reconciler"),
        ("created", Event.ARMED, "submitted", "submitter reconciler"),
        ("submitting created", Event.PUTBACK, "tosubmit", "submitter reconciler"),
        ("created", Event.UNARMED, "tosubmit", "reconciler"),
        (_AT_CE, Event.UNARMED, "tosubmit", "status"),
        ("cancelling", Event.UNARMED, "cancelled", "status"),
        ("created", Event.GONE, "cancelled", "reconciler"),
        ("submitting created", Event.REFUSED, "donefailed", "submitter reconciler"),
        (_AT_CE, Event.WAITING, "submitted", "status"),
        (_AT_CE, Event.HELD, "holding", "status"),
        (_AT_CE, Event.RUNNING, "running", "status"),
        (_AT_CE, Event.FINISHING, "finishing", "status"),
        (_FOLLOWED, Event.FINISHED, "finished", "status"),
        (_FOLLOWED, Event.FAILED, "failed", "status"),
        (_AT_CE, Event.STAGEFAILED, "torerun", "status"),
        (_FOLLOWED, Event.KILLED, "cancelled", "status"),
        (_FOLLOWED, Event.GONE, "cancelled", "status"),
        ("torerun", Event.RESTARTED, "submitted", "canceller"),
        ("torerun", Event.FAILED, "failed", "canceller reconciler"),
        ("torerun", Event.GONE, "cancelled", "canceller"),
        ("tosubmit quarantined", Event.CANCEL, "cancelled", "application operator reconciler"),
        ("created submitted holding running finishing torerun", Event.CANCEL, "tocancel",
         "application operator submitter reconciler"),
        ("submitted holding", Event.REQUEUE, "tocancel", "operator"),
        ("tosubmit", Event.QUARANTINE, "quarantined", "operator guard"),
        ("quarantined", Event.RELEASE, "tosubmit", "operator"),
        ("tocancel", Event.KILLSENT, "cancelling", "canceller"),
        ("failed cancelled", Event.FETCH, "tofetch", "application operator"),
        ("finished", Event.FETCHED, "done", "fetcher"),
        ("tofetch", Event.FETCHED, "donefailed", "fetcher"),
        ("finished tofetch", Event.UNFETCHED, "donefailed", "fetcher reconciler"),
        ("done donefailed cancelled lost failed finished", Event.CLEAN, "toclean", "application operator reconciler"),
        ("toclean", Event.CLEANED, "archived", "cleaner reconciler"),
        ("submitting created submitted holding running finishing torerun tocancel cancelling", Event.SILENT, "lost",
         "reconciler"),
        ("tosubmit quarantined", Event.EXPIRED, "cancelled", "reconciler"),
    ]
)  # fmt: skip

DEADLINES = {
    d.state: d
    for d in (
        Deadline("tosubmit", 7 * DAY, Event.EXPIRED, "no CE took it in 7 days"),
        Deadline("quarantined", 7 * DAY, Event.EXPIRED, "nobody released it in 7 days"),
        Deadline("submitting", 7 * DAY, Event.SILENT, "the CE never said whether it has the job"),
        Deadline("created", 7 * DAY, Event.SILENT, "the CE never said what became of the job"),
        Deadline("submitted", 7 * DAY, Event.CANCEL, "waited 7 days at the CE"),
        Deadline("holding", 2 * DAY, Event.CANCEL, "held for 2 days"),
        Deadline("running", 9 * DAY, Event.CANCEL, "running for 9 days"),
        Deadline("finishing", 1 * DAY, Event.CANCEL, "staging out for a day"),
        Deadline("finished", 1 * DAY, Event.UNFETCHED, "its files could not be fetched in a day"),
        Deadline("failed", 1 * DAY, Event.CLEAN, "nobody asked for it in a day"),
        Deadline("tofetch", 1 * HOUR, Event.UNFETCHED, "its files could not be fetched in an hour"),
        Deadline("tocancel", 1 * DAY, Event.SILENT, "the CE took no kill in a day"),
        Deadline("cancelling", 1 * DAY, Event.SILENT, "the CE did not end it in a day"),
        Deadline("torerun", 1 * HOUR, Event.FAILED, "the CE took no restart in an hour"),
        Deadline("done", 7 * DAY, Event.CLEAN, "nobody asked for it in 7 days"),
        Deadline("donefailed", 7 * DAY, Event.CLEAN, "nobody asked for it in 7 days"),
        Deadline("cancelled", 7 * DAY, Event.CLEAN, "nobody asked for it in 7 days"),
        Deadline("lost", 7 * DAY, Event.CLEAN, "nobody asked for it in 7 days"),
        Deadline("toclean", 1 * DAY, Event.CLEANED, "not cleaned in a day; the sweep for orphans goes on"),
    )
}

NEXT = {
    "tosubmit": NextStep("submitter", "chooses a CE queue and submits it"),
    "quarantined": NextStep("operator", "releases it, or has it killed"),
    "submitting": NextStep("reconciler", "finds out whether the CE has made the job"),
    "created": NextStep("reconciler", "finds out what became of the job at the CE, and lets it run"),
    "submitted": NextStep("status", "runs the job once its inputs are there and a slot is free", far=True),
    "holding": NextStep("status", "lets the job go on that it holds", far=True),
    "running": NextStep("status", "runs the job to its end", far=True),
    "finishing": NextStep("status", "stages the outputs out", far=True),
    "finished": NextStep("fetcher", "brings its files"),
    "failed": NextStep("application", "asks for its files"),
    "tofetch": NextStep("fetcher", "brings its files"),
    "tocancel": NextStep("canceller", "tells the CE to end the job"),
    "cancelling": NextStep("status", "ends the job", far=True),
    "torerun": NextStep("canceller", "has the CE stage once more"),
    "done": NextStep("application", "takes note of the end, so that the CE may forget the job"),
    "donefailed": NextStep("application", "takes note of the end, so that the CE may forget the job"),
    "cancelled": NextStep("application", "takes note of the end, so that the CE may forget the job"),
    "lost": NextStep("application", "takes note of the end, so that the CE may forget the job"),
    "toclean": NextStep("cleaner", "makes the CE forget the job"),
}

CEJOB = Machine("cejob", "tosubmit", frozenset({"archived"}), FLOW, DEADLINES)

# A job that so many submissions could not bring to run is not tried for ever.
MAX_SUBMISSIONS = 10
# No CE has it, nor ever had with the token that it has now.
PLACELESS = ("tosubmit", "quarantined")
# States in which a CE may hold something of the attempt, so its delegation must stay.
NEEDS_DELEGATION = ("submitting", "created", "submitted", "holding", "running", "finishing", "torerun", "tocancel",
                    "cancelling", "finished", "failed", "tofetch")  # fmt: skip
# While a row is in one of these, the CE's answer is not written down yet.
IN_DOUBT = ("submitting", "created")
# A CE that is silent stops the clock of deadlines, but nothing is put off by more than this.
STAND_STILL_AT_MOST_S = 7 * DAY
# States in which the attempt has ended and the next step is the application's.
ENDED = ("done", "donefailed", "cancelled", "lost")
# States in which nothing of an attempt can run any more, for certain (unless it was lost before).
STANDS_STILL = ("done", "donefailed", "cancelled", "toclean", "archived")

if __name__ == "__main__":
    sys.stdout.write(diagram(CEJOB))
