"""What the processes had to do with the CEs: calls, errors and seconds, counted since each was first started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, tuple_, update

from act.db.schema_operating import cecalls

Which = tuple[int, str]  # a CE, and the method of `act.interfaces.ComputeElement`


@dataclass(slots=True)
class Calls:
    """Calls of one kind to one CE. errors: how many of them raised; seconds: that all took together."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0

    def add(self, other: Calls) -> None:
        self.calls += other.calls
        self.errors += other.errors
        self.seconds += other.seconds


def add(connection: Connection, host: str, daemon: str, new: Mapping[Which, Calls]) -> None:
    """Add what a process counted since it last did so."""
    if not new:
        return
    c = cecalls.c
    mine = (c.host == host, c.daemon == daemon)
    found = connection.execute(select(c.ce_id, c.call).where(*mine, tuple_(c.ce_id, c.call).in_(new)))
    known = {tuple(row) for row in found}
    for which, n in new.items():
        if which in known:
            here = (*mine, c.ce_id == which[0], c.call == which[1])
            more = {"calls": c.calls + n.calls, "errors": c.errors + n.errors, "seconds": c.seconds + n.seconds}
            connection.execute(update(cecalls).where(*here).values(more))
    missing = [_row(host, daemon, which, n) for which, n in new.items() if which not in known]
    if missing:
        connection.execute(insert(cecalls), missing)


def _row(host: str, daemon: str, which: Which, n: Calls) -> dict[str, Any]:
    ce_id, call = which
    numbers = {"calls": n.calls, "errors": n.errors, "seconds": n.seconds}
    return {"ce_id": ce_id, "host": host, "daemon": daemon, "call": call, **numbers}
