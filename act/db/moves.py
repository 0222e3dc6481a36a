"""The only writer of a state: compare-and-set along the machine, one event row each, in bulk."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import ClauseElement, Connection, Table, case, insert, literal, null, select, update

from act import metrics
from act.db.engine import AnyRow, after_commit, chunks, now
from act.db.schema import events
from act.errors import IllegalMove
from act.log import about
from act.states import Machine, Step

log = logging.getLogger(__name__)  # silent unless the configuration asks for it, see `act.log.setup`

LONGEST_WHY = 4000  # far sides may have much to say


@dataclass(frozen=True, slots=True)
class Move:
    """``event`` happens to row ``id``, which was last seen in ``state``.

    why: told to people in the row's history. values: further columns, written only if the row moves.
    version: if given, the row must not have moved since that version was read.
    """

    id: int
    state: str
    event: str
    why: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    version: int | None = None


@dataclass(frozen=True)
class Ledger:
    """A state machine and the table its rows live in. kind: the word for it in events."""

    kind: str
    machine: Machine
    table: Table


@dataclass(frozen=True, slots=True)
class _Taken:
    """One step that will be written."""

    row: AnyRow
    move: Move
    path: tuple[Step, ...]
    wish: str | None

    @property
    def target(self) -> str:
        return self.path[-1].target


def move(
    connection: Connection,
    ledger: Ledger,
    moves: Sequence[Move],
    *,
    who: str,
    holder: str | None = None,
    keep_claim: bool = False,
    skip_locked: bool = False,
) -> dict[int, str]:
    """Make the moves whose rows are still as expected; returns id -> new state for those, and only those.

    who: the daemon (its kind before the first '-' must own the step). holder: moves rows under this claim only;
    without it, rows that somebody else holds do not move. The claim ends with the move unless keep_claim.
    A wish noted on the row is carried on in the same statement, if the new state has a step for it.
    Raises IllegalMove if the machine has no such step, or not for ``who``.
    """
    done: dict[int, str] = {}
    for part in chunks(list(moves)):
        taken = _lock(connection, ledger, part, who, holder, skip_locked)
        if taken:
            _write(connection, ledger, taken, keep_claim)
            _record(connection, ledger, taken, who)
            after_commit(connection, partial(_tell, ledger.kind, taken, who))
            done.update({t.row.id: t.target for t in taken})
    return done


def _lock(
    connection: Connection, ledger: Ledger, moves: Sequence[Move], who: str, holder: str | None, skip_locked: bool
) -> list[_Taken]:
    table = ledger.table
    wishes = "wish" in table.c
    query = select(
        table.c.id,
        table.c.state,
        table.c.version,
        table.c.claimed_by,
        (table.c.claimed_until > now()).label("held"),
        (table.c.wish if wishes else null()).label("wish"),
    )
    by_id = {m.id: m for m in moves}
    rows = connection.execute(
        query.where(table.c.id.in_(list(by_id))).order_by(table.c.id).with_for_update(skip_locked=skip_locked)
    )
    taken = []
    for row in rows:
        wanted = by_id[row.id]
        step = ledger.machine.step(wanted.state, wanted.event)
        if step is None or not step.owners & {_kind(who), who}:
            raise IllegalMove(f"{ledger.kind} {row.id}: {who} may not make '{wanted.event}' happen in {wanted.state}")
        if (cause := _in_the_way(row, wanted, holder)) is not None:
            metrics.not_moved(ledger.kind, cause)
            continue
        taken.append(_follow(ledger.machine, row, wanted, step))
    return taken


def _in_the_way(row: AnyRow, wanted: Move, holder: str | None) -> str | None:
    """Which part of what was expected of a row no longer holds: its state, its version or its claim."""
    if row.state != wanted.state:
        return "state"
    if wanted.version not in (None, row.version):
        return "version"
    mine = row.claimed_by == holder if holder is not None else row.claimed_by is None or not row.held
    return None if mine else "claim"


def _kind(who: str) -> str:
    """submitter-arc.2 -> submitter"""
    return who.partition(".")[0].partition("-")[0]


def _follow(machine: Machine, row: AnyRow, wanted: Move, step: Step) -> _Taken:
    """Add the step that the row's wish means in the new state; a wish that can no longer mean anything is dropped."""
    if row.wish is None:
        return _Taken(row, wanted, (step,), None)
    onward = machine.step(step.target, row.wish)
    if onward is not None:
        return _Taken(row, wanted, (step, onward), None)
    keeps = any(s.event == row.wish for s in _reachable(machine, step.target))
    return _Taken(row, wanted, (step,), row.wish if keeps else None)


def _reachable(machine: Machine, state: str) -> list[Step]:
    """The steps from the states that directly follow ``state``."""
    following = {s.target for s in machine.steps if s.source == state}
    return [s for s in machine.steps if s.source in following]


def _write(connection: Connection, ledger: Ledger, taken: list[_Taken], keep_claim: bool) -> None:
    table = ledger.table
    groups: dict[tuple[bool, tuple[str, ...]], list[_Taken]] = defaultdict(list)
    for t in taken:
        groups[t.target != t.row.state, tuple(sorted(t.move.values))].append(t)
    for (changes, columns), group in groups.items():
        values: dict[str, Any] = {"version": table.c.version + 1}
        if changes:  # a step back to the same state does not begin its time anew
            values |= {"since": now(), "state": _per_row(table, "state", {t.row.id: t.target for t in group})}
        if not keep_claim:
            values |= {"claimed_by": None, "claimed_until": None}
        if any(t.row.wish is not None for t in group):
            values["wish"] = _per_row(table, "wish", {t.row.id: t.wish for t in group})
        for column in columns:
            values[column] = _per_row(table, column, {t.row.id: t.move.values[column] for t in group})
        connection.execute(update(table).where(table.c.id.in_([t.row.id for t in group])).values(values))


def _per_row(table: Table, column: str, by_id: Mapping[int, Any]) -> Any:
    """One value if all rows get the same, else a CASE over the ids."""
    values = list(by_id.values())
    if all(v is values[0] for v in values) or _all_equal(values):
        return values[0]
    kind = table.c[column].type
    return case(
        *((table.c.id == i, v if isinstance(v, ClauseElement) else literal(v, kind)) for i, v in by_id.items()),
        else_=table.c[column],
    )


def _all_equal(values: list[Any]) -> bool:
    """Of plain values; SQL expressions do not compare."""
    return not any(isinstance(v, ClauseElement) for v in values) and all(v == values[0] for v in values)


def _record(connection: Connection, ledger: Ledger, taken: list[_Taken], who: str) -> None:
    connection.execute(
        insert(events).values(at=now()),
        [
            {
                "kind": ledger.kind,
                "job_id": t.row.id,
                "source": step.source,
                "event": step.event,
                "target": step.target,
                "who": who,
                "why": t.move.why[:LONGEST_WHY] if step is t.path[0] else "asked for before",
            }
            for t in taken
            for step in t.path
        ],
    )


def _tell(kind: str, taken: list[_Taken], who: str) -> None:
    """Count the moves and, if somebody wants that, log them."""
    for target, n in Counter(t.target for t in taken).items():
        metrics.moved(kind, target, n)
    if log.isEnabledFor(logging.INFO):
        for t in taken:
            state, move = t.row.state, t.move
            text = f"{kind} {move.id}: {state} -> {t.target} by {who}" + (f": {move.why}" if move.why else "")
            extra = about(move.id, kind, source=state, target=t.target, event=move.event, who=who, why=move.why)
            log.info("%s", text, extra=extra)


def note(
    connection: Connection, kind: str, rows: Sequence[tuple[int, str, str]], *, who: str, event: str = "insert"
) -> None:
    """Write down what happened to rows without moving them: (id, state, why)."""
    if rows:
        connection.execute(
            insert(events).values(at=now()),
            [
                {"kind": kind, "job_id": i, "source": state, "event": event, "target": state, "who": who, "why": why}
                for i, state, why in rows
            ],
        )
        after_commit(connection, partial(_tell_note, kind, rows, who, event))


def _tell_note(kind: str, rows: Sequence[tuple[int, str, str]], who: str, event: str) -> None:
    if log.isEnabledFor(logging.INFO):
        for i, state, why in rows:
            extra = about(i, kind, source=state, target=state, event=event, who=who, why=why)
            log.info("%s %d: %s by %s: %s", kind, i, event, who, why, extra=extra)
