"""What operators and the guard do to attempts that wait: for a CE, or at one.

Each function takes ids of attempts and tells of those that it was not done to: id -> why not. What is so already is
left as it is, so that repeating an order is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from act.control.jobs import Verb
from act.db import cejobs as attempts
from act.db import moves
from act.db.engine import AnyRow, chunks
from act.db.moves import Move
from act.db.schema import candidates, cejobs, cequeues, ces
from act.states import CEJOB, ENDED, IN_DOUBT, PLACELESS, Event

Refused = dict[int, str]
VERBS = frozenset({Verb.REQUEUE, Verb.QUARANTINE, Verb.RELEASE, Verb.PRIORITY, Verb.MOVE})

_BUSY = "it is in hand at this moment: try again"
_UNSURE = "nobody knows for certain whether it has run, behind a submit point: kill it instead"
_RUNS = "it may have begun to run, and must not run twice"
_ON_ITS_WAY = "it is on its way to a CE: try again in a minute"
_OVER = (*ENDED, "failed", "finished", "tofetch", "toclean", "archived")
_ENDING = ("tocancel", "cancelling")
# An attempt that was in one of these may have run.
_MAY_HAVE_RUN = ("running", "finishing", "finished", "failed", "torerun")


def order(
    connection: Connection, verb: Verb, jobs: Mapping[int, int | None], *, who: str, why: str, value: Any = None
) -> Refused:
    """Do one of `VERBS` to the current attempts of an application's jobs (job -> attempt); job -> why not.

    value: of PRIORITY a number, of MOVE the numbers of CE queues.
    """
    ids = [i for i in jobs.values() if i is not None]
    if verb is Verb.PRIORITY:
        refused = prioritise(connection, ids, int(value), who=who, why=why)
    elif verb is Verb.MOVE:
        refused = relocate(connection, ids, list(value), who=who, why=why)
    else:
        plain = {Verb.REQUEUE: requeue, Verb.QUARANTINE: quarantine, Verb.RELEASE: release}
        refused = plain[verb](connection, ids, who=who, why=why)
    by_job = {job: refused.get(i, "") if i is not None else "it has no attempt yet" for job, i in jobs.items()}
    return {job: why_not for job, why_not in by_job.items() if why_not}


def quarantine(connection: Connection, ids: Sequence[int], *, who: str, why: str) -> Refused:
    """No CE gets these until they are released; noted of one that is on its way to a CE, in case it comes back."""
    hidden = _behind_submit_points(connection)

    def refuse(row: AnyRow) -> str:
        if row.state in IN_DOUBT:
            return "its end is wanted already" if row.wish == Event.CANCEL else ""
        return "" if row.state in PLACELESS else _there(row, hidden)

    rows, refused = _sorted_out(connection, ids, refuse)
    wanted = [r.id for r in rows if r.state != "quarantined" and r.wish != Event.QUARANTINE]
    answer = attempts.wish(connection, wanted, Event.QUARANTINE, who=who, why=why)
    return refused | {i: _BUSY for i in wanted if i not in answer}


def release(connection: Connection, ids: Sequence[int], *, who: str, why: str) -> Refused:
    """They may go to a CE again, with as many submissions before them as a new one."""

    def refuse(row: AnyRow) -> str:
        noted = row.wish == Event.QUARANTINE
        return "" if noted or row.state in PLACELESS else _elsewhere(row, "it is not in quarantine")

    rows, refused = _sorted_out(connection, ids, refuse)
    wanted = [r for r in rows if r.state == "quarantined"]
    fresh = {"submission": 0, "doubts": 0}
    moved = attempts.move(connection, [Move(r.id, r.state, Event.RELEASE, why, fresh) for r in wanted], who=who)
    noted = [r for r in rows if r.wish == Event.QUARANTINE and r.state != "quarantined"]
    attempts.set_values(connection, [r.id for r in noted], wish=None)
    moves.note(connection, attempts.LEDGER.kind, [(r.id, r.state, why) for r in noted], who=who, event=Event.RELEASE)
    return refused | {r.id: _BUSY for r in wanted if r.id not in moved}


def requeue(connection: Connection, ids: Sequence[int], *, who: str, why: str) -> Refused:
    """They leave the CE that they wait at; see `never_ran` for what may come of that."""
    ordered = attempts.with_event(connection, ids, Event.REQUEUE)
    hidden = _behind_submit_points(connection)

    def refuse(row: AnyRow) -> str:
        if row.state in ("submitted", "holding") and row.ce_id in hidden:
            return _UNSURE
        if row.state in (*PLACELESS, *IN_DOUBT, "submitted", "holding"):
            return "its end is wanted already" if row.wish == Event.CANCEL else ""
        if row.state in _ENDING:
            return "" if row.id in ordered else "it is being ended already"
        return _elsewhere(row, _RUNS)

    rows, refused = _sorted_out(connection, ids, refuse)
    wanted = [r.id for r in rows if r.state not in (*PLACELESS, *_ENDING) and r.wish != Event.REQUEUE]
    answer = attempts.wish(connection, wanted, Event.REQUEUE, who=who, why=why)
    return refused | {i: _BUSY for i in wanted if i not in answer}


def never_ran(connection: Connection, rows: Collection[AnyRow]) -> set[int]:
    """Which of these cancelled attempts left their CE as an operator wanted, and certainly without having run.

    For certain: the CE itself said that it has ended them (or they were never armed), and nothing that it ever told of
    them says that they ran. A submit point may not hear of a short run, so what was armed behind one may have run. Only
    these may have a successor.
    """
    quiet = {r.id: r for r in rows if r.state == "cancelled" and not (r.node or r.wall_s) and r.exit_code is None}
    ordered = attempts.with_event(connection, quiet, Event.REQUEUE)
    if not ordered:
        return set()
    hidden = _behind_submit_points(connection)
    left: set[int] = set()
    ran: set[int] = set()
    for r in attempts.history(connection, attempts.LEDGER.kind, list(ordered)):
        if r.event == Event.CLAIM:  # the order was about a submission that came to nothing
            ordered.discard(r.job_id)
        elif r.event == Event.REQUEUE:
            ordered.add(r.job_id)
        elif r.target == "cancelled" and r.event in (Event.KILLED, Event.UNARMED):
            left.add(r.job_id)
        if r.target in _MAY_HAVE_RUN or (r.event == Event.ARMED and quiet[r.job_id].ce_id in hidden):
            ran.add(r.job_id)
    return ordered & left - ran


def prioritise(connection: Connection, ids: Sequence[int], priority: int, *, who: str, why: str) -> Refused:
    """A new priority among those that wait for the same CE queues."""

    def refuse(row: AnyRow) -> str:
        is_early = row.state in (*PLACELESS, *IN_DOUBT)
        return "" if is_early else _elsewhere(row, "the CE has its priority already")

    rows, refused = _sorted_out(connection, ids, refuse)
    wanted = [r for r in rows if r.priority != priority]
    some = [r.id for r in wanted]
    attempts.set_values(connection, some, priority=priority)
    for part in chunks(some):
        connection.execute(update(candidates).where(candidates.c.cejob_id.in_(part)).values(rank=-priority))
    notes = [(r.id, r.state, f"{r.priority} -> {priority}: {why}") for r in wanted]
    moves.note(connection, attempts.LEDGER.kind, notes, who=who, event="priority")
    return refused


def relocate(connection: Connection, ids: Sequence[int], cequeue_ids: Sequence[int], *, who: str, why: str) -> Refused:
    """They may go to these CE queues, those of their type, instead of where they might go; a refusal counts no more."""
    there = {
        r.id: r
        for r in connection.execute(
            select(cequeues.c.id, cequeues.c.queue, ces.c.url, ces.c.flavour)
            .join(ces, ces.c.id == cequeues.c.ce_id)
            .where(cequeues.c.id.in_(cequeue_ids))
        )
    }
    places: dict[str, list[int]] = {}
    for i, place in sorted(there.items()):
        places.setdefault(place.flavour, []).append(i)
    hidden = _behind_submit_points(connection)

    def refuse(row: AnyRow) -> str:
        if row.state in IN_DOUBT:
            return _ON_ITS_WAY
        if row.state not in PLACELESS:
            return _there(row, hidden)
        types = ", ".join(sorted(places)) or "no known CE"
        return "" if row.flavour in places else f"it is written for a CE of type {row.flavour}, not for {types}"

    rows, refused = _sorted_out(connection, ids, refuse)
    before = _open_places(connection, [r.id for r in rows])
    wanted = [r for r in rows if before.get(r.id, set()) != set(places[r.flavour])]
    for part in chunks(wanted):
        connection.execute(delete(candidates).where(candidates.c.cejob_id.in_([r.id for r in part])))
    fresh = [_candidate(r, i) for r in wanted for i in places[r.flavour]]
    for some in chunks(fresh):
        connection.execute(insert(candidates), list(some))
    names = {f: ", ".join(f"{there[i].url} {there[i].queue}".rstrip() for i in of) for f, of in places.items()}
    notes = [(r.id, r.state, f"to {names[r.flavour]}: {why}") for r in wanted]
    moves.note(connection, attempts.LEDGER.kind, notes, who=who, event="move")
    return refused


def _candidate(row: AnyRow, cequeue_id: int) -> Mapping[str, object]:
    is_open = row.state == CEJOB.initial
    return {"cejob_id": row.id, "cequeue_id": cequeue_id, "open": is_open, "proxy_id": row.proxy_id,
            "share": row.share, "rank": -row.priority}  # fmt: skip


def _open_places(connection: Connection, ids: Sequence[int]) -> dict[int, set[int]]:
    """Attempt -> the CE queues that have not refused it."""
    found: dict[int, set[int]] = {}
    for part in chunks(ids):
        query = select(candidates.c.cejob_id, candidates.c.cequeue_id).where(
            candidates.c.cejob_id.in_(part), candidates.c.refused.is_(False)
        )
        for r in connection.execute(query):
            found.setdefault(r.cejob_id, set()).add(r.cequeue_id)
    return found


def _sorted_out(
    connection: Connection, ids: Sequence[int], refuse: Callable[[AnyRow], str]
) -> tuple[list[AnyRow], Refused]:
    """(the rows that it may be done to, locked; why not, of the others)."""
    query = select(cejobs).where(cejobs.c.id.in_(ids)).order_by(cejobs.c.id)
    rows = connection.execute(query.with_for_update()).all()
    refused = {r.id: why for r in rows if (why := refuse(r))}
    refused |= dict.fromkeys(set(ids) - {r.id for r in rows}, "there is no such attempt any more")
    return [r for r in rows if r.id not in refused], refused


def _elsewhere(row: AnyRow, at_ce: str) -> str:
    return "its attempt has ended" if row.state in _OVER else f"it is '{row.state}' at a CE: {at_ce}"


def _there(row: AnyRow, hidden: Collection[int]) -> str:
    """Why what is at a CE cannot be kept or sent elsewhere, with what can be done. hidden: CEs behind submit points."""
    if row.state not in ("submitted", "holding"):
        return _elsewhere(row, _RUNS)
    return _UNSURE if row.ce_id in hidden else _elsewhere(row, "requeue it first")


def _behind_submit_points(connection: Connection) -> set[int]:
    """The CEs whose word on a job comes through another service."""
    return set(connection.scalars(select(ces.c.id).where(ces.c.submit_point != "")))
