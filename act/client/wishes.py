"""What callers want of jobs that they have submitted: their end, their files, another attempt, oblivion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from act.client import changes, db
from act.client.changes import OWNER, Refused
from act.client.identity import Caller
from act.client.model import Changed, Filter
from act.client.states import CLIENTJOB
from act.config import CoreConfig
from act.db.engine import AnyRow, Database

_BATCH = 500
# Who names neither jobs nor states means jobs for which the wish can mean something.
_ALIVE = ("tosubmit", "quarantined", "submitting", "submitted", "holding", "running", "finishing", "torerun")
_ENDED = ("done", "donefailed", "cancelled", "lost")
_BROKEN = ("donefailed", "cancelled")
_UNFETCHED = ("failed",)

_Some = Callable[[Connection, Sequence[AnyRow]], Refused]


class Wishes:
    """Each method takes a filter, and tells for every job what came of it; jobs that were named by their ids are told
    of in any case, others only if the wish means something for them."""

    def __init__(self, config: CoreConfig, database: Database) -> None:
        self._config, self._db = config, database

    def kill(self, caller: Caller, wanted: Filter) -> list[Changed]:
        """End jobs, whatever they do; a submission that is under way is given up."""
        return self._each("kill", caller, wanted, _ALIVE, partial(changes.kill, by=OWNER))

    def fetch(self, caller: Caller, wanted: Filter) -> list[Changed]:
        """Bring the files of failed jobs. The tower does so by itself: this is for who does not want to wait for it."""
        return self._each("fetch", caller, wanted, _UNFETCHED, changes.fetch)

    def clean(self, caller: Caller, wanted: Filter) -> list[Changed]:
        """Forget ended jobs, and remove their files."""
        return self._each("clean", caller, wanted, _ENDED, partial(changes.clean, by=OWNER))

    def resubmit(self, caller: Caller, wanted: Filter) -> list[Changed]:
        """Try failed and cancelled jobs again, with the caller's credential of today."""
        allowed = {ce.name for ce in self._config.users.ces_of(caller.groups)}

        def some(connection: Connection, rows: Sequence[AnyRow]) -> Refused:
            return changes.resubmit(connection, rows, OWNER, proxy_id=caller.proxy_id, allowed=allowed)

        return self._each("resubmit", caller, wanted, _BROKEN, some)

    def _each(self, label: str, caller: Caller, wanted: Filter, states: Sequence[str], some: _Some) -> list[Changed]:
        """A bounded number of jobs in each transaction."""
        if not (wanted.ids or wanted.states):
            wanted = replace(wanted, states=tuple(states))
        answers: list[Changed] = []
        while ids := self._page(caller, wanted, answers[-1].id if answers else 0):
            answers += self._db.run(label, partial(_told, user_id=caller.user_id, ids=ids, some=some))
        if not wanted.ids:
            return [a for a in answers if not a.refused]
        missing = set(wanted.ids) - {a.id for a in answers}
        return [*answers, *(Changed(i, None, "", f"there is no job {i}") for i in sorted(missing))]

    def _page(self, caller: Caller, wanted: Filter, after: int) -> list[int]:
        return self._db.read("find", lambda c: db.find_ids(c, caller.user_id, wanted, after=after, limit=_BATCH))


def _told(connection: Connection, user_id: int, ids: Sequence[int], some: _Some) -> list[Changed]:
    rows = db.lock(connection, user_id, ids)
    refused = some(connection, rows)
    return [Changed(r.id, r.cejob_id, r.shown or CLIENTJOB.initial, refused.get(r.id, "")) for r in rows]
