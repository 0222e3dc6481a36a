"""The jobs of the demonstration, of mixed shapes, and how each should end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

BOTH, SINGLE, NOWHERE = "DEMO_BOTH", "DEMO_SINGLE", "DEMO_NOWHERE"


@dataclass(frozen=True)
class Kind:
    """One sort of job. order: as of the simulated PanDA.

    panda, tower: the states in which PanDA and the tower may see the job end. runs: how often its pilot must start.
    killed: PanDA is asked for its end while it runs; the tower's word depends on who hears of it first, tower or pilot.
    """

    what: str
    queue: str
    panda: str
    tower: tuple[str, ...]
    order: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 1
    killed: bool = False


DONE, FAILED, KILLED = ("done",), ("donefailed",), ("donefailed", "donecancelled")

_PLAIN = (
    Kind("production, 1 core", BOTH, "finished", DONE, {"seconds": 2}),
    Kind("production, urgent", BOTH, "finished", DONE, {"seconds": 3, "priority": 5000}),
    Kind("production, 2 cores", BOTH, "finished", DONE, {"seconds": 2, "fields": {"coreCount": 2}}),
    Kind("user's analysis", BOTH, "finished", DONE, {"seconds": 1, "label": "user"}),
    Kind("much memory", BOTH, "finished", DONE, {"seconds": 2, "fields": {"minRamCount": 4000}}),
    Kind("one CE only", SINGLE, "finished", DONE, {"seconds": 3}),
    Kind("test job", SINGLE, "finished", DONE, {"seconds": 1, "label": "prod_test"}),
)
_SPECIAL = (
    Kind("payload fails", BOTH, "failed", FAILED, {"kind": "fail", "exit_code": 65, "seconds": 1}),
    Kind("payload fails", SINGLE, "failed", FAILED, {"kind": "fail", "exit_code": 3, "seconds": 2}),
    Kind("pilot dies", BOTH, "failed", FAILED, {"kind": "die", "exit_code": 1, "seconds": 1}),
    Kind("pilot says nothing", SINGLE, "failed", DONE, {"kind": "vanish", "seconds": 1}),
    Kind("killed by PanDA", BOTH, "cancelled", KILLED, {"seconds": 300, "priority": 9000}, killed=True),
    Kind("no CE takes it", NOWHERE, "failed", FAILED, runs=0),
)
FEWEST = len(_SPECIAL) + 1


def mix(jobs: int, *, with_nowhere: bool = True) -> Iterator[Kind]:
    """``jobs`` of them: each special kind once, the rest are plain. At least FEWEST. with_nowhere: also such that no CE
    takes."""
    special = [kind for kind in _SPECIAL if with_nowhere or kind.queue != NOWHERE]
    yield from islice(cycle(_PLAIN), jobs - len(special))
    yield from special
