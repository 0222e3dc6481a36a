"""What becomes of jobs when their owners, or operators, want something of them.

Each function works on rows that the transaction holds, and tells of the jobs to which it could not be done why not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from act.client import db
from act.client.intake import SENT, USER
from act.client.states import OVER, Event
from act.client.tables import LEDGER
from act.db import cejobs, moves
from act.db.engine import AnyRow
from act.db.moves import Move
from act.states import STANDS_STILL
from act.states import Event as CEEvent

# Words for why not, by job.
Refused = dict[int, str]


@dataclass(frozen=True, slots=True)
class By:
    """Who wants it, and why. who, agent: in the history of the job, and of its attempt. error: what the job says."""

    who: str
    agent: str
    why: str
    error: str | None = None


OWNER = By(USER, "application", "its owner wants that")


def operator(who: str, why: str) -> By:
    """``operator-<name>``."""
    return By(who, who, why, f"ended by an operator: {why}")


def kill(connection: Connection, rows: Sequence[AnyRow], by: By) -> Refused:
    """End jobs, whatever they do; a submission that is under way is given up."""
    steps = {"begun": (Event.ABANDON, "toclean"), "sent": (Event.KILL, "cancelled")}
    said = {"error": by.error} if by.error else {}
    wanted = [
        Move(r.id, r.state, steps[r.state][0], by.why, {"shown": steps[r.state][1], **said})
        for r in rows
        if r.state in steps
    ]
    db.move(connection, wanted, who=by.who)
    active = {r.cejob_id: r for r in rows if r.state == "active"}
    ends = {r.id: "it has ended already" for r in rows if r.state not in (*steps, "active")}
    answer = cejobs.wish(connection, list(active), CEEvent.CANCEL, who=by.agent, why=by.why)
    before = cejobs.get(connection, [i for i in active if i not in answer])
    late = {i for i, r in before.items() if r.state not in ("tocancel", "cancelling")}
    told = [r for i, r in active.items() if i not in late and not r.killed]
    db.mark(connection, {r.id: {"shown": "tocancel", "killed": True, **said} for r in told})
    moves.note(connection, LEDGER.kind, [(r.id, r.state, by.why) for r in told], who=by.who, event=Event.KILL)
    return ends | {active[i].id: "it is ending by itself" for i in late}


def fetch(connection: Connection, rows: Sequence[AnyRow]) -> Refused:
    """Bring the files of failed jobs."""
    active = {r.cejob_id: r for r in rows if r.state == "active"}
    answer = cejobs.wish(connection, list(active), CEEvent.FETCH, who="application", why="wanted by its owner")
    asked = {active[i].id for i in answer}
    db.mark(connection, {i: {"shown": "tofetch"} for i in asked})
    return {
        r.id: "what there is of its files is here" if r.state in OVER else "its files are fetched when it has ended"
        for r in rows
        if r.id not in asked
    }


def clean(connection: Connection, rows: Sequence[AnyRow], by: By) -> Refused:
    """Forget ended jobs."""
    ended = [r for r in rows if r.state in OVER]
    wanted = [Move(r.id, r.state, Event.CLEAN, by.why, {"shown": "toclean"}) for r in ended]
    db.move(connection, wanted, who=by.who)
    return {r.id: "it has not ended: kill it first" for r in rows if r.state not in (*OVER, "toclean")}


def resubmit(
    connection: Connection, rows: Sequence[AnyRow], by: By, *, proxy_id: int | None = None,
    allowed: set[str] | None = None,
) -> Refused:  # fmt: skip
    """Try failed and cancelled jobs again. proxy_id: what to act with from now on; allowed: names of CE queues."""
    attempts = cejobs.get(connection, [r.cejob_id for r in rows if r.cejob_id is not None])
    refused = {r.id: why for r in rows if (why := _no_other(r, attempts, allowed))}
    wanted = [
        Move(r.id, r.state, Event.RESUBMIT, by.why, {**AFRESH, "proxy_id": proxy_id or r.proxy_id})
        for r in rows
        if r.id not in refused
    ]
    db.move(connection, wanted, who=by.who)
    return refused


# What the row of a job says that gets another attempt.
AFRESH: Mapping[str, Any] = {"shown": SENT, "killed": False, "cejob_id": None, "error": None}


def _no_other(row: AnyRow, attempts: Mapping[int, AnyRow], allowed: set[str] | None) -> str:
    """Why a job does not get another attempt, "" if it does: only on evidence that the one before cannot run."""
    if row.state == "finished":
        return "it ended well: submit it anew to have it run again"
    if row.state not in OVER:
        return "it has not ended: kill it first"
    before = attempts.get(row.cejob_id)
    if row.shown == "lost" or (before is not None and before.state not in STANDS_STILL):
        return "nobody knows whether it still runs at the CE: submit it anew if you want it to run twice"
    if allowed is not None and not allowed.intersection(row.ces):
        return f"you may not use {', '.join(row.ces)} any more: submit it anew for another CE"
    return ""
