"""The people who have jobs here: read from one open snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from act.client import db
from act.client.states import CLIENTJOB, SHOWN
from act.db import orders
from act.db.engine import AnyRow
from act.db.orders import Kind

PAGE = 100
STATES = (CLIENTJOB.initial, *SHOWN, "toclean")


@dataclass(frozen=True, slots=True)
class UserLine:
    """Somebody. row: see `act.client.db.everybody`; states: of their jobs, as they see them; share: of their attempts.

    orders: in force for the share.
    """

    row: AnyRow
    states: Mapping[str, int]
    orders: tuple[AnyRow, ...]

    @property
    def share(self) -> str:
        """What their attempts have in common."""
        return f"user-{self.row.id}"


@dataclass(frozen=True, slots=True)
class Users:
    """A page of users. states: those that any job of theirs is in; next: where the next page begins, 0 for none.

    shares: orders for shares of nobody on this page.
    """

    text: str
    states: tuple[str, ...]
    lines: tuple[UserLine, ...]
    shares: tuple[AnyRow, ...]
    next: int


def listing(connection: Connection, text: str = "", after: int = 0) -> Users:
    """Those with a text in their subject, by number."""
    rows = db.everybody(connection, text, after=after, limit=PAGE + 1)
    ordered = orders.in_force(connection, Kind.SHARE)
    states = db.shown_of(connection, [r.id for r in rows[:PAGE]])
    lines = tuple(
        UserLine(r, states.get(r.id, {}), tuple(o for o in ordered if o.name == f"user-{r.id}")) for r in rows[:PAGE]
    )
    used = {s for line in lines for s in line.states}
    here = {line.share for line in lines}
    return Users(
        text=text,
        states=tuple(s for s in STATES if s in used),
        lines=lines,
        shares=tuple(o for o in ordered if o.name not in here),
        next=rows[PAGE - 1].id if len(rows) > PAGE else 0,
    )
