"""A slow look for files in the store whose job or attempt is gone: what a crash between the two may leave."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

from sqlalchemy import Connection

from act.client import db
from act.db import meta
from act.db.engine import Database
from act.storage import Store

_PER_PARENT = 1000  # as names in the store have it

Gone = Callable[[Connection, Collection[int]], set[int]]


class Sweep:
    """Goes through the store round and round, one parent folder of each kind a time.

    Numbers above the highest that the database knows are left alone: it may be an old copy.
    """

    def __init__(self, database: Database, store: Store) -> None:
        self._db, self._store = database, store
        self._turn = random.randrange(1 << 20)  # who is started often must not always begin at the same place

    def one_more(self) -> int:
        """Look at the next parent folders; returns how many folders were removed. Raises StorageUnavailable."""
        jobs, attempts = self._db.read("highest", lambda c: (db.highest_job(c), meta.highest_cejob(c)))
        self._turn += 1
        return (
            self._look("inputs", jobs, db.gone_jobs)
            + self._look("results", attempts, db.gone_attempts)
            + self._look("live", attempts, db.gone_attempts)
        )

    def _look(self, kind: str, highest: int, gone: Gone) -> int:
        """The store is listed before the database is asked: rows are there before their files."""
        parent = f"{kind}/{self._turn % (highest // _PER_PARENT + 1)}"
        parts = {name.removeprefix(f"{parent}/").partition("/")[0] for name in self._store.list(parent)}
        numbers = {int(part) for part in parts if part.isdecimal() and int(part) <= highest}
        left_over = self._db.read("gone", lambda c: gone(c, numbers)) if numbers else set()
        for number in sorted(left_over):
            self._store.remove(f"{parent}/{number}")
        return len(left_over)
