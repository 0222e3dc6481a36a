"""What operators may do to PanDA jobs. Each function works on rows that the transaction holds, and may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from act.control.jobs import Verb
from act.db import cejobs, moves, waiting
from act.db.engine import NOW, AnyRow
from act.db.moves import Move
from act.db.waiting import Refused
from act.states import STANDS_STILL
from act.states import Event as CEEvent
from act_atlas import db
from act_atlas.outcome import KILLED_CODE, LOST_CODE
from act_atlas.states import ALIVE, ON_STORAGE, PANDAJOB, TO_REPORT, Event

_BUSY = "it is in hand at this moment: try again"
_CAN_BE_KILLED = PANDAJOB.from_event(Event.KILL)

Rows = Sequence[AnyRow]
_Do = Callable[[Connection, Rows, str, str], Refused]


def control(
    connection: Connection, verb: Verb, ids: Sequence[int], *, who: str, why: str, value: Any = None
) -> Refused:
    """See `act.interfaces.Operations.control`."""
    rows = list(db.get(connection, ids, lock=True).values())
    gone = dict.fromkeys(set(ids) - {r.id for r in rows}, "it is in the archive by now")
    if verb is Verb.PRIORITY:
        return gone | _prioritise(connection, rows, int(value), who, why)
    if verb in waiting.VERBS:
        attempts = {r.id: r.cejob_id for r in rows}
        return gone | waiting.order(connection, verb, attempts, who=who, why=why, value=value)
    return gone | _DO[verb](connection, rows, who, why)


def _note(connection: Connection, rows: Rows, verb: Verb, who: str, why: str) -> None:
    moves.note(connection, db.LEDGER.kind, [(r.id, r.state, why) for r in rows], who=who, event=verb)


def _kill(connection: Connection, rows: Rows, who: str, why: str) -> Refused:
    """PanDA hears that it failed, and why."""
    said = f"killed by an operator: {why}"[:500]
    wanted = [r for r in rows if r.state in _CAN_BE_KILLED]
    values = {"error_code": KILLED_CODE, "error_diag": said}
    killed = db.move(connection, [Move(r.id, r.state, Event.KILL, why, values) for r in wanted], who=who)
    attempts = [r.cejob_id for r in wanted if r.id in killed and r.cejob_id is not None]
    cejobs.wish(connection, attempts, CEEvent.CANCEL, who=who, why=why)
    db.outputs.want_removed(connection, [i for i, state in killed.items() if state == "toclean"])
    unborn = [Move(r.id, "tobekilled", Event.KILLED, "it had no attempt yet", {"due": NOW})
              for r in wanted if killed.get(r.id) == "tobekilled" and r.cejob_id is None]  # fmt: skip
    db.move(connection, unborn, who=who)
    late = {r.id: f"it is '{r.state}': it has ended" for r in rows if r not in wanted and not _is_killed(r)}
    return late | {r.id: _BUSY for r in wanted if r.id not in killed}


def _is_killed(row: AnyRow) -> bool:
    ended = row.state in ("toclean", "failed", "cancelled", "donecancelled", "donefailed")
    return row.state == "tobekilled" or (ended and row.error_code == KILLED_CODE)


def _resubmit(connection: Connection, rows: Rows, who: str, why: str) -> Refused:
    """Another attempt, of a job whose end PanDA has certainly not heard."""
    attempts = cejobs.get(connection, [r.cejob_id for r in rows if r.cejob_id is not None])
    refused = {r.id: why_not for r in rows if (why_not := _no_other(r, attempts))}
    wanted = [r for r in rows if r.id not in refused and r.state != "toresubmit"]
    moved = db.move(connection, [Move(r.id, r.state, Event.RESUBMIT, why, {"due": NOW}) for r in wanted], who=who)
    db.outputs.want_removed(connection, list(moved))
    return refused | {r.id: _BUSY for r in wanted if r.id not in moved}


def _no_other(row: AnyRow, attempts: Mapping[int, AnyRow]) -> str:
    """Why a job gets no other attempt, "" if it does."""
    if row.state == "toresubmit":
        return ""
    if row.state in (*ALIVE, "tobekilled", "tovalidate"):
        return f"it is '{row.state}': it has not failed"
    before = attempts.get(row.cejob_id)
    if row.truepilot and before is not None:
        return "its pilot spoke to PanDA itself: PanDA tries it again, with another job"
    if row.state not in ("toclean", "failed") or (row.state == "failed" and not _unheard(row)):
        return "PanDA may have heard of its end: it tries the job again by itself, with another one"
    if row.error_code == KILLED_CODE:
        return "PanDA or an operator wanted its end"
    if row.error_code == LOST_CODE or (before is not None and before.state not in STANDS_STILL):
        return "nobody knows whether its last attempt still runs at the CE"
    return ""


def _unheard(row: AnyRow) -> bool:
    """Nobody has begun to tell PanDA: who does puts ``due`` off first."""
    return row.due is not None and row.due <= row.since


def _clean(connection: Connection, rows: Rows, who: str, why: str) -> Refused:
    """Into the archive, now."""
    ended = [r for r in rows if r.state in PANDAJOB.final]
    old = cejobs.get(connection, [r.cejob_id for r in ended if r.cejob_id is not None])
    cejobs.wish(connection, list(old), CEEvent.CLEAN, who=who, why=why)
    ready = db.archivable(connection, [r.id for r in ended])
    _note(connection, ready, Verb.CLEAN, who, why)
    if ready:
        db.archive_rows(connection, ready)
    done = {r.id for r in ready}
    busy = {r.id: "its attempt or its outputs are still being cleaned: try again in a while" for r in ended}
    early = {r.id: f"it is '{r.state}': it is not over" for r in rows if r.state not in PANDAJOB.final}
    return early | {i: why_not for i, why_not in busy.items() if i not in done}


def _replay(connection: Connection, rows: Rows, who: str, why: str) -> Refused:
    """PanDA is told again where the tower speaks, ends too; of an end only if PanDA does not know it."""
    speaks = [r for r in rows if r.sendhb or r.state in (*TO_REPORT, *ON_STORAGE, *PANDAJOB.final)]
    db.set_values(connection, [r.id for r in speaks], due=NOW)
    _note(connection, speaks, Verb.REPLAY, who, why)
    told = {r.id for r in speaks}
    return {r.id: "its pilot speaks to PanDA now, not the tower" for r in rows if r.id not in told}


def _prioritise(connection: Connection, rows: Rows, priority: int, who: str, why: str) -> Refused:
    """Of the attempt, and of those to come."""
    unborn = [r for r in rows if r.state == "sent" and r.cejob_id is None]
    born = {r.id: r.cejob_id for r in rows if r not in unborn}
    refused = waiting.order(connection, Verb.PRIORITY, born, who=who, why=why, value=priority)
    changed = [r for r in rows if r.id not in refused and r.priority != priority]
    db.set_values(connection, [r.id for r in changed], priority=priority)
    notes = [(r.id, r.state, f"{r.priority} -> {priority}: {why}") for r in changed]
    moves.note(connection, db.LEDGER.kind, notes, who=who, event=Verb.PRIORITY)
    return refused


_DO: Mapping[Verb, _Do] = {
    Verb.KILL: _kill,
    Verb.RESUBMIT: _resubmit,
    Verb.CLEAN: _clean,
    Verb.REPLAY: _replay,
}
