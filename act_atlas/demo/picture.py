"""What PanDA, the tower and the CEs say of the jobs at one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from act.config import load_core
from act.daemons.base import Lane
from act.daemons.context import Context
from act.db import cejobs, ces, credentials, lanes, meta
from act.db.engine import AnyRow
from act.errors import JobError
from act_atlas import db
from act_atlas.states import PANDAJOB
from act_atlas.trial import World

FINAL = frozenset({"finished", "failed", "cancelled", "closed"})


@dataclass(frozen=True)
class Job:
    """One job. panda: its story there. row, attempts, events: the tower's, None and empty before it has the job."""

    panda: Mapping[str, Any]
    row: AnyRow | None
    attempts: Sequence[AnyRow]
    events: Sequence[AnyRow]

    @property
    def settled(self) -> bool:
        """Everybody knows the end, and nothing is left to do."""
        return (
            self.panda["status"] in FINAL
            and self.row is not None
            and self.row.state in PANDAJOB.final
            and all(a.state == "archived" for a in self.attempts)
        )

    @property
    def panda_states(self) -> list[str]:
        """PanDA's states of it, in order."""
        return [status for _, status, _ in self.panda["history"]]

    def tower_states(self, kind: str) -> list[str]:
        """The tower's states of it (kind pandajob) or of its attempts (kind cejob), in order."""
        states: list[str] = []
        for event in self.events:
            if event.kind == kind and states[-1:] != [event.target]:
                states.append(event.target)
        return states


@dataclass(frozen=True)
class Picture:
    """All jobs by PanDA id; ces: id -> URL of those the tower knows; delegations: how many it has there."""

    jobs: Mapping[int, Job]
    ces: Mapping[int, str]
    delegations: int

    @property
    def settled(self) -> bool:
        """Nothing will happen any more."""
        return self.delegations == 0 and all(j.settled for j in self.jobs.values())

    def events(self) -> list[tuple[int, AnyRow]]:
        """(PanDA id, event) of all jobs, in order."""
        found = [(i, e) for i, job in self.jobs.items() for e in job.events]
        return sorted(found, key=lambda pair: pair[1].id)

    def panda_counts(self, queue: str | None = None) -> Counter[str]:
        """PanDA's state -> number of jobs, of one queue or all."""
        return Counter(j.panda["status"] for j in self.jobs.values() if queue in (None, j.panda["queue"]))

    def tower_counts(self) -> Counter[str]:
        """The tower's state -> number of jobs it has."""
        return Counter(j.row.state for j in self.jobs.values() if j.row is not None)

    def ce_counts(self, ce_id: int) -> Counter[str]:
        """State -> number of attempts that are, or last were, at the CE."""
        return Counter(a.state for j in self.jobs.values() for a in j.attempts if a.ce_id == ce_id)


class Observer:
    """Looks at a world with a tower that is set up. Close it at the end."""

    def __init__(self, world: World, core_file: Path) -> None:
        self._world = world
        self._context = Context(load_core(core_file))

    def look(self, pandaids: Iterable[int]) -> Picture:
        """The picture now."""
        stories = self._world.stories()
        wanted = {i: stories[i] for i in pandaids}
        return self._context.db.read("picture", lambda c: _read(c, wanted))

    @property
    def identity(self) -> str:
        """Of the tower's database, which is in the tokens of its jobs."""
        return str(self._context.db.read("identity", meta.identity))

    def left_at_ces(self) -> list[str]:
        """Jobs of this tower that CEs still list; raises CEUnreachable."""
        return left_at_ces(self._context)

    def close(self) -> None:
        """Give back connections."""
        self._context.close()


def left_at_ces(context: Context) -> list[str]:
    """Jobs of a tower that CEs still list; raises CEUnreachable."""
    found = context.db.read("lanes", lambda c: [Lane(r.ce_id, r.proxy_id) for r in lanes.all_of(c)])
    mark = f"act.{context.db.read('identity', meta.identity)}."
    left = []
    for lane in found:
        ce = context.ce(lane)
        seen = ce.inspect(sorted(ce.list_ids()))
        left += [f"{i} ({s.name})" for i, s in seen.items() if not isinstance(s, JobError) and mark in s.name]
    return left


def _read(connection: Connection, stories: Mapping[int, Mapping[str, Any]]) -> Picture:
    jobs = {}
    for pandaid, story in stories.items():
        row = db.find(connection, pandaid)
        attempts = cejobs.of_application(connection, db.SOURCE, row.id) if row else []
        events = list(cejobs.history(connection, db.LEDGER.kind, [row.id])) if row else []
        events += cejobs.history(connection, cejobs.LEDGER.kind, [a.id for a in attempts])
        jobs[pandaid] = Job(story, row, attempts, sorted(events, key=lambda e: e.id))
    known = {ce.id: ce.url for ce in ces.all_of(connection)}
    return Picture(jobs, known, len(credentials.all_of(connection)))
