"""One job of the simulated CE: what was asked, what happened to it, and what a lagging information system knows."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from act_arc.simulator.rsl import Description

FINAL = ("FINISHED", "FAILED", "KILLED")
_MARK = re.compile(r"--sim-(exit|run|stagein-fails|stageout-fails)=([\d.]+)")


@dataclass
class SimJob:
    """A job; times are seconds since the epoch.

    failed_in: the phase A-REX would restart it from; epoch: raised when what was going on with the job counts no more.
    stored: outputs that have been brought away.
    """

    id: str
    owner: str
    description: Description
    delegation: str
    queue: str
    session: Path
    client: str = "127.0.0.1"
    created: float = field(default_factory=time.time)
    history: list[tuple[float, str]] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    uploaded: list[str] = field(default_factory=list)
    executions: int = 0
    started: float | None = None
    stopped: float | None = None
    exit_code: int | None = None
    local_id: str = ""
    error: str = ""
    failed_in: str = ""
    restarts: int = 0
    epoch: int = 0
    panda_id: str = ""
    cleaned: float | None = None
    stored: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.missing = set(self.description.uploads)
        self.marks = dict(_MARK.findall(" ".join(self.description.arguments)))

    @property
    def state(self) -> str:
        """The state the job is in."""
        return self.history[-1][1]

    @property
    def ended(self) -> bool:
        """Nothing more will happen by itself."""
        return self.state in FINAL

    @property
    def ended_at(self) -> float:
        """When it came into its last state."""
        return self.history[-1][0]

    def enter(self, state: str) -> None:
        """Go into a state now."""
        self.history.append((time.time(), state))

    def seen(self, lag_s: float) -> str:
        """The state an information system knows that is ``lag_s`` behind; "" while it does not know the job at all."""
        if lag_s <= 0:
            return self.state
        limit = time.time() - lag_s
        return next((state for when, state in reversed(self.history) if when <= limit), "")

    def wall_s(self) -> int:
        """Seconds the job has run so far."""
        if self.started is None:
            return 0
        return int((self.stopped or time.time()) - self.started)

    def path(self, name: str) -> Path | None:
        """Where a file of the session directory is; None if the name leads out of it."""
        path = (self.session / name).resolve()
        return path if path == self.session or self.session in path.parents else None

    def summary(self) -> dict[str, Any]:
        """What the state of the simulator tells of the job."""
        return {
            "name": self.description.name, "state": self.state, "executions": self.executions, "owner": self.owner,
            "queue": self.queue, "delegation": self.delegation, "exit_code": self.exit_code, "error": self.error,
            "panda_id": self.panda_id, "restarts": self.restarts, "cleaned": self.cleaned is not None,
        }  # fmt: skip
