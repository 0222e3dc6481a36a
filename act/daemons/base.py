"""What every daemon is: `work(lane)`, one bounded pass, no sleep, no endless loop; it returns how many jobs moved.

`act.daemons.runner` runs the passes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from act.daemons.context import Context
from act.daemons.lease import Lease


class Lane(NamedTuple):
    """A CE seen with a credential; work on one lane cannot hold up another."""

    ce_id: int
    proxy_id: int


# What a pass is about: a CE lane, a name that only the daemon knows (such as a queue), or nothing in particular.
Key = Lane | str | None


class Daemon(ABC):
    """One kind of daemon. kind: as in FLOW's owners. flavour: the CE type it serves, "" for none."""

    kind: ClassVar[str]

    def __init__(self, context: Context, name: str, flavour: str = "") -> None:
        self.context = context
        self.name = name
        self.flavour = flavour
        self.db = context.db

    @property
    def idle_s(self) -> float:
        """How long to wait after a pass that found nothing."""
        return self.context.config.daemons.idle_s

    def lanes(self) -> Sequence[Key]:
        """The lanes that may have work now; [None] for a daemon that has none."""
        return [None]

    @abstractmethod
    def work(self, lane: Key) -> int:
        """One bounded pass; returns how many jobs moved."""

    def troubles(self) -> Sequence[str]:
        """What the last pass of each lane could not do, although the pass itself went well; for who runs it by hand."""
        return ()

    def close(self) -> None:  # noqa: B027 - most have nothing
        """Give back what is the daemon's own; the context belongs to whoever made it."""

    def claim(self) -> Lease:
        """A fresh claim by this daemon."""
        return Lease(self.name, self.context.config.leases.lease_s, self.context.config.leases.margin_s)
