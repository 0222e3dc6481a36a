"""What callers want of jobs that they have submitted: their end, their files, another attempt, oblivion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from act.client import db
from act.client.identity import Caller
from act.client.intake import SENT, USER
from act.client.model import Changed, Filter
from act.client.states import CLIENTJOB, OVER, Event
from act.client.tables import LEDGER
from act.config import CoreConfig
from act.db import cejobs, moves
from act.db.engine import AnyRow, Database
from act.db.moves import Move
from act.states import Event as CEEvent

_BATCH = 500
# Who names neither jobs nor states means jobs for which the wish can mean something.
_ALIVE = ("tosubmit", "submitting", "submitted", "holding", "running", "finishing", "torerun")
_ENDED = ("done", "donefailed", "cancelled", "lost")
_BROKEN = ("donefailed", "cancelled")
_UNFETCHED = ("failed",)

_OWNER_WANTS = "its owner wants that"
# States of attempts in which nothing of them can run any more, for certain.
_STANDS_STILL = ("done", "donefailed", "cancelled", "toclean", "archived")
# Words for why not, by job.
Refused = dict[int, str]
_Some = Callable[[Connection, Caller, Sequence[AnyRow]], Refused]


class Wishes:
    """Each method takes a filter, and tells for every job what came of it; jobs that were named by their ids are told
    of in any case, others only if the wish means something for them."""

    def __init__(self, config: CoreConfig, database: Database) -> None:
        self._config, self._db = config, database

    def kill(self, caller: Caller, wanted: Filter) -> list[Changed]:
        """End jobs, whatever they do; a submission that is under way is given up."""
        return self._each("kill", caller, wanted, _ALIVE, _kill)

    def fetch(self, caller: Caller, wanted: Filter) -> list[Changed]:
        """Bring the files of failed jobs. The tower does so by itself: this is for who does not want to wait for it."""
        return self._each("fetch", caller, wanted, _UNFETCHED, _fetch)

    def clean(self, caller: Caller, wanted: Filter) -> list[Changed]:
        """Forget ended jobs, and remove their files."""
        return self._each("clean", caller, wanted, _ENDED, _clean)

    def resubmit(self, caller: Caller, wanted: Filter) -> list[Changed]:
        """Try failed and cancelled jobs again, with the caller's credential of today."""
        allowed = {ce.name for ce in self._config.users.ces_of(caller.groups)}

        def some(connection: Connection, caller: Caller, rows: Sequence[AnyRow]) -> Refused:
            return _resubmit(connection, caller, rows, allowed)

        return self._each("resubmit", caller, wanted, _BROKEN, some)

    def _each(self, label: str, caller: Caller, wanted: Filter, states: Sequence[str], some: _Some) -> list[Changed]:
        """A bounded number of jobs in each transaction."""
        if not (wanted.ids or wanted.states):
            wanted = replace(wanted, states=tuple(states))
        answers: list[Changed] = []
        while ids := self._page(caller, wanted, answers[-1].id if answers else 0):
            answers += self._db.run(label, partial(_told, caller=caller, ids=ids, some=some))
        if not wanted.ids:
            return [a for a in answers if not a.refused]
        missing = set(wanted.ids) - {a.id for a in answers}
        return [*answers, *(Changed(i, None, "", f"there is no job {i}") for i in sorted(missing))]

    def _page(self, caller: Caller, wanted: Filter, after: int) -> list[int]:
        return self._db.read("find", lambda c: db.find_ids(c, caller.user_id, wanted, after=after, limit=_BATCH))


def _told(connection: Connection, caller: Caller, ids: Sequence[int], some: _Some) -> list[Changed]:
    rows = db.lock(connection, caller.user_id, ids)
    refused = some(connection, caller, rows)
    return [Changed(r.id, r.cejob_id, r.shown or CLIENTJOB.initial, refused.get(r.id, "")) for r in rows]


def _kill(connection: Connection, caller: Caller, rows: Sequence[AnyRow]) -> Refused:
    steps = {"begun": (Event.ABANDON, "toclean"), "sent": (Event.KILL, "cancelled")}
    wanted = [
        Move(r.id, r.state, steps[r.state][0], _OWNER_WANTS, {"shown": steps[r.state][1]})
        for r in rows
        if r.state in steps
    ]
    db.move(connection, wanted, who=USER)
    active = {r.cejob_id: r for r in rows if r.state == "active"}
    ends = {r.id: "it has ended already" for r in rows if r.state not in (*steps, "active")}
    answer = cejobs.wish(connection, list(active), CEEvent.CANCEL, who="application", why="killed by its owner")
    before = cejobs.get(connection, [i for i in active if i not in answer])
    late = {i for i, r in before.items() if r.state not in ("tocancel", "cancelling")}
    told = [r for i, r in active.items() if i not in late and not r.killed]
    db.mark(connection, {r.id: {"shown": "tocancel", "killed": True} for r in told})
    moves.note(connection, LEDGER.kind, [(r.id, r.state, "") for r in told], who=USER, event=Event.KILL)
    return ends | {active[i].id: "it is ending by itself" for i in late}


def _fetch(connection: Connection, caller: Caller, rows: Sequence[AnyRow]) -> Refused:
    active = {r.cejob_id: r for r in rows if r.state == "active"}
    answer = cejobs.wish(connection, list(active), CEEvent.FETCH, who="application", why="wanted by its owner")
    asked = {active[i].id for i in answer}
    db.mark(connection, {i: {"shown": "tofetch"} for i in asked})
    return {
        r.id: "what there is of its files is here" if r.state in OVER else "its files are fetched when it has ended"
        for r in rows
        if r.id not in asked
    }


def _clean(connection: Connection, caller: Caller, rows: Sequence[AnyRow]) -> Refused:
    ended = [r for r in rows if r.state in OVER]
    db.move(connection, [Move(r.id, r.state, Event.CLEAN, _OWNER_WANTS, {"shown": "toclean"}) for r in ended], who=USER)
    return {r.id: "it has not ended: kill it first" for r in rows if r.state not in OVER}


def _resubmit(connection: Connection, caller: Caller, rows: Sequence[AnyRow], allowed: set[str]) -> Refused:
    attempts = cejobs.get(connection, [r.cejob_id for r in rows if r.cejob_id is not None])
    refused = {r.id: why for r in rows if (why := _no_other(r, attempts, allowed))}
    values: dict[str, Any] = {"shown": SENT, "killed": False, "cejob_id": None, "error": None}
    wanted = [
        Move(r.id, r.state, Event.RESUBMIT, _OWNER_WANTS, {**values, "proxy_id": caller.proxy_id or r.proxy_id})
        for r in rows
        if r.id not in refused
    ]
    db.move(connection, wanted, who=USER)
    return refused


def _no_other(row: AnyRow, attempts: Mapping[int, AnyRow], allowed: set[str]) -> str:
    """Why a job does not get another attempt, "" if it does: only on evidence that the one before cannot run."""
    if row.state == "finished":
        return "it ended well: submit it anew to have it run again"
    if row.state not in OVER:
        return "it has not ended: kill it first"
    before = attempts.get(row.cejob_id)
    if row.shown == "lost" or (before is not None and before.state not in _STANDS_STILL):
        return "nobody knows whether it still runs at the CE: submit it anew if you want it to run twice"
    if not allowed.intersection(row.ces):
        return f"you may not use {', '.join(row.ces)} any more: submit it anew for another CE"
    return ""
