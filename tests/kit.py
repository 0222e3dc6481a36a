"""Rows for tests: CE queues, proxies and attempts, put into a database without any daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import String, cast, literal, update

from act.db import cejobs, ces, claims, credentials, lanes, meta
from act.db.cejobs import NewAttempt
from act.db.claims import Limits
from act.db.engine import AnyRow, Database
from act.db.schema import candidates
from act.db.schema import cejobs as table
from act.model import InputFile, JobSpec

SPEC = JobSpec(
    name="job",
    executable="run.sh",
    inputs=(InputFile("run.sh", content="#!/bin/sh\n", executable=True),),
    fetch=("out.txt", "diagnose=errors"),
)
URL = "https://ce.example.org/arex"


class Rows:
    """Writes and reads rows of one database."""

    def __init__(self, database: Database) -> None:
        self.db = database

    def place(self, name: str = "ce1", queue: str = "default", flavour: str = "fake", *, submit_point: str = "") -> int:
        """A CE queue; its CE is made with it."""
        url = f"https://{name}.example.org/arex"
        return self.db.run("test", lambda c: ces.ensure(c, flavour, url, queue, submit_point))

    def proxy(self, role: str = "production", sealed: bytes = b"sealed", expires: float = 4e9) -> int:
        """A proxy; again for the same role: the renewed one."""
        return self.db.run("test", lambda c: credentials.store(c, role, f"/CN={role}", sealed, expires))

    def attempts(self, n: int, places: Sequence[int], proxy_id: int, **changes: Any) -> list[int]:
        """Attempts in ``tosubmit``; changes: fields of `NewAttempt`."""
        fields: dict[str, Any] = {"app": "app", "flavour": "fake", "share": "A", "priority": 0, "spec": SPEC} | changes
        new = [NewAttempt(appjob_id=i + 1, proxy_id=proxy_id, cequeue_ids=tuple(places), **fields) for i in range(n)]
        return self.db.run("test", lambda c: cejobs.add(c, new, who="application"))

    def put(self, ids: Sequence[int], state: str, **values: Any) -> None:
        """Bring rows into a state as if all moves had been made."""

        def write(connection: Any) -> None:
            connection.execute(update(table).where(table.c.id.in_(ids)).values(state=state, **values))
            is_open = state == "tosubmit"
            connection.execute(update(candidates).where(candidates.c.cejob_id.in_(ids)).values(open=is_open))

        self.db.run("test", write)

    def at_ce(self, n: int, state: str, *, place: int, proxy_id: int, **values: Any) -> list[int]:
        """Attempts in ``state`` at the CE of a CE queue, called job<id> there."""
        ids = self.attempts(n, [place], proxy_id)
        ce_id = self.ce_of(place)
        self.db.run("test", lambda c: lanes.ensure(c, ce_id, proxy_id))
        name = literal("job").concat(cast(table.c.id, String))
        self.put(ids, state, **{"ce_id": ce_id, "cequeue_id": place, "ce_job_id": name} | values)
        return ids

    def ce_of(self, place: int) -> int:
        """The CE of a CE queue."""
        query = ces.cequeues.select().where(ces.cequeues.c.id == place)
        return int(self.db.read("test", lambda c: c.execute(query).one()).ce_id)

    def get(self, attempt: int) -> AnyRow:
        """One attempt as it is now."""
        return self.db.read("test", lambda c: cejobs.get(c, [attempt]))[attempt]

    def states(self, ids: Sequence[int]) -> list[str]:
        """Their states, in order."""
        rows = self.db.read("test", lambda c: cejobs.get(c, ids))
        return [rows[i].state for i in ids]

    def events(self, attempt: int) -> list[str]:
        """What happened to an attempt, without its insertion: ``event`` or ``event>target``."""
        rows = self.db.read("test", lambda c: cejobs.history(c, "cejob", [attempt]))
        return [r.event for r in rows if r.event != "insert"]

    def is_open(self, attempt: int) -> list[bool]:
        """Whether its candidates are open."""
        query = candidates.select().where(candidates.c.cejob_id == attempt).order_by(candidates.c.cequeue_id)
        return [bool(r.open) for r in self.db.read("test", lambda c: c.execute(query).all())]


WIDE = Limits(max_waiting=10_000, max_jobs=10_000)


class Claimer(Rows):
    """Claims for one CE and proxy, as the submitter does."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.proxy_id = self.proxy()

    def take(self, place: int, *, limit: int = 1000, holder: str = "me", default: Limits = WIDE) -> Sequence[AnyRow]:
        ce_id = self.ce_of(place)

        def work(connection: Any) -> Sequence[AnyRow]:
            credentials.add_delegation(connection, ce_id, self.proxy_id, "remote", 1)
            delegation = credentials.live_delegation(connection, ce_id, self.proxy_id)
            assert delegation is not None
            return claims.take(
                connection, ce_id, self.proxy_id, limit=limit, holder=holder, lease_s=60, who="submitter",
                db_id=meta.identity(connection), delegation_id=delegation.id, default=default,
            )  # fmt: skip

        return self.db.run("test", work)


def together(*works: Callable[[], Any]) -> list[Any]:
    """Run these at the same time; their results."""
    barrier = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(n: int, work: Callable[[], Any]) -> None:
        barrier.wait()
        results[n] = work()

    threads = [threading.Thread(target=run, args=(n, work)) for n, work in enumerate(works)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads)
    return results
