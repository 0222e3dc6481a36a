"""How jobs come to be in a state: the events before it, along the state machines."""

from __future__ import annotations

from dataclasses import dataclass

from act.client.states import CLIENTJOB
from act.states import CEJOB, Machine
from act_atlas.states import PANDAJOB

_RUNS = "claim accepted armed running"
_ENDS = f"{_RUNS} finishing finished"
_FAILS = f"{_RUNS} failed fetch"

ATTEMPT = {
    "tosubmit": "",
    "quarantined": "claim putback claim putback quarantine",
    "submitting": "claim",
    "created": "claim accepted",
    "submitted": "claim accepted armed",
    "holding": "claim accepted armed held",
    "running": _RUNS,
    "finishing": f"{_RUNS} finishing",
    "finished": _ENDS,
    "done": f"{_ENDS} fetched",
    "toclean": f"{_ENDS} fetched clean",
    "archived": f"{_ENDS} fetched clean cleaned",
    "failed": f"{_RUNS} failed",
    "tofetch": _FAILS,
    "donefailed": f"{_FAILS} fetched",
    "torerun": "claim accepted armed stagefailed",
    "tocancel": f"{_RUNS} cancel",
    "cancelling": f"{_RUNS} cancel killsent",
    "cancelled": f"{_RUNS} cancel killsent killed",
    "lost": f"{_RUNS} silent",
}
BROKEN_ARCHIVED = f"{_FAILS} fetched clean cleaned"

PANDA = {
    "sent": "",
    "starting": "attempt",
    "running": "attempt running",
    "transferring": "attempt running finishing",
    "tovalidate": "attempt running finishing ended",
    "toresubmit": "attempt running resubmit",
    "toclean": "attempt running broken",
    "finished": "attempt running finishing ended valid",
    "done": "attempt running finishing ended valid reported",
    "failed": "attempt running broken cleaned",
    "donefailed": "attempt running broken cleaned reported",
    "tobekilled": "attempt running kill",
    "cancelled": "attempt running kill killed",
    "donecancelled": "attempt running kill killed reported",
}
CLIENT = {
    "begun": "",
    "sent": "confirm",
    "active": "confirm attempt",
    "finished": "confirm attempt done",
    "failed": "confirm attempt broken",
    "cancelled": "confirm attempt stopped",
    "toclean": "confirm attempt done clean",
}
MACHINES = {"cejob": CEJOB, "pandajob": PANDAJOB, "clientjob": CLIENTJOB}


@dataclass(frozen=True)
class Step:
    """One event. gap: its part of the time between the first and the last one."""

    source: str
    event: str
    target: str
    who: str
    gap: float


def walk(kind: str, events: str) -> tuple[Step, ...]:
    """The insertion and these events, as the machine of that kind takes them."""
    machine: Machine = MACHINES[kind]
    state = machine.initial
    found = [Step(state, "insert", state, "getjob", 0.0)]
    names = events.split()
    for n, event in enumerate(names, start=1):
        step = machine.step(state, event)
        assert step is not None, (kind, state, event)
        found.append(Step(state, event, step.target, sorted(step.owners)[-1], n / len(names)))
        state = step.target
    return tuple(found)
