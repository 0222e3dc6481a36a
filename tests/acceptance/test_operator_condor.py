"""Operators act on jobs that are idle in HTCondor: what would not be safe through a submit point is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from act_atlas.demo.mix import DONE, Kind
from act_atlas.demo.picture import Picture
from act_atlas.demo.run import complaints
from tests.acceptance.operating import WHY, Operator, People, attempts_at, states
from tests.acceptance.pools import Pools, left_in_queues
from tests.acceptance.trial import Trial
from tests.services.mariadb import MariaDB

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="pools")]

WITHIN_S = 240
GRID, DIRECT, EITHER = "GRID", "DIRECT", "EITHER"
ALL_SLOTS = {"coreCount": 16, "minRamCount": 16000}
ENDED = ("donefailed", "donecancelled")
SMALL = Kind("small job", GRID, "finished", DONE, {"seconds": 1})
DOOMED = Kind("killed while it is idle", GRID, "failed", ENDED, {"seconds": 1}, runs=0)
FULL = Kind("fills the pool", DIRECT, "failed", ENDED, {"seconds": 900, "fields": ALL_SLOTS})
UNSURE = "behind a submit point: kill it instead"


def test_idle_jobs_leave_a_pool_or_are_killed_and_none_runs_twice(
    real_trial: Callable[..., Trial], mariadb: MariaDB, tmp_path: Path
) -> None:
    mariadb.create_database("operator_condor")
    trial = real_trial("condorA", "condorB")
    Idling(trial, mariadb.url("operator_condor"), tmp_path / "home").all()


class Idling:
    """Jobs that are idle at condorB, on two ways: through condorA, and straight."""

    def __init__(self, trial: Trial, database: str, home: Path) -> None:
        assert trial.grid is not None
        self.trial, self.home, self.pools = trial, home, Pools(trial.grid)
        self.people = People(trial, [self.pools.grid])
        queues = {GRID: [self.pools.grid], DIRECT: [self.pools.direct], EITHER: [self.pools.direct, self.pools.pool]}
        more = self.pools.settings + self.people.configuration
        self.operator = Operator(trial.set_up(queues, database=database, more=more))

    def all(self) -> None:
        """Everything, in order."""
        self.fill_the_pool()
        self.refuse()
        self.send_elsewhere()
        self.end()
        self.make_room()
        picture = self.trial.settle(WITHIN_S)
        assert list(complaints(picture, self.trial.kinds)) == []
        self.where_they_went(picture)
        self.clean()

    def fill_the_pool(self) -> None:
        """One job has all slots, and others are idle."""
        self.operator.order("drain", "ce", self.pools.pool.url)
        self.trial.tower.start()
        self.people.begin(self.home)
        (self.full,) = self.trial.order(FULL)
        self.trial.wait("full", lambda p: p.jobs[self.full].panda["status"] == "running", WITHIN_S)
        self.hidden = self.trial.order(SMALL)[0]
        self.doomed = self.trial.order(DOOMED)[0]
        self.leaves, self.stays = self.trial.order(replace(SMALL, queue=EITHER), 2)
        (self.person,) = self.people.run("ce1", "again", "exit 0")
        idle = (self.hidden, self.doomed, self.leaves, self.stays)
        self.trial.wait("idle", lambda p: states(p, *idle) == ["submitted"] * 4 and self.are_idle(p, *idle), WITHIN_S)

    def are_idle(self, picture: Picture, *pandaids: int) -> bool:
        """condorB says so, also of the person's job."""
        wanted = {*self.people.attempts([self.person]), *(picture.jobs[i].attempts[-1].id for i in pandaids)}
        return wanted <= attempts_at(self.trial, "condorB", "JobStatus == 1").keys()

    def refuse(self) -> None:
        """What would have to leave, and nobody can say whether it has begun to run."""
        assert UNSURE in self.operator.refused("requeue", self.hidden, self.doomed)
        assert UNSURE in self.operator.refused("requeue", *self.people.names([self.person]))
        for verb in (("move", "--to", self.pools.pool.url, "default"), ("quarantine",)):
            assert UNSURE in self.operator.refused(*verb, self.hidden)
            assert "requeue it first" in self.operator.refused(*verb, self.leaves)
        assert "the CE has its priority already" in self.operator.refused("priority", 9000, self.hidden)

    def send_elsewhere(self) -> None:
        """To the pool that takes jobs now; what waits at the other one may stay."""
        self.operator.order("drain", "ce", self.pools.direct.url)
        (self.moved,) = self.trial.order(replace(SMALL, queue=DIRECT))
        self.trial.wait("held back", lambda p: states(p, self.moved) == ["tosubmit"], WITHIN_S)
        assert "takes no new jobs" in self.trial.explained(self.moved)
        self.operator("resume", "ce", self.pools.pool.url)
        assert self.operator.jobs("requeue", self.leaves) == "done to 1 job"
        self.operator.jobs("move", "--to", self.pools.pool.url, "default", self.moved)
        self.trial.wait("run", lambda p: all(p.jobs[i].settled for i in (self.leaves, self.moved)), WITHIN_S)

    def end(self) -> None:
        """A kill always works, and what was killed may be tried again."""
        (name,) = self.people.names([self.person])
        self.operator.jobs("kill", self.doomed, name)
        picture = self.trial.wait(
            "killed",
            lambda p: p.jobs[self.doomed].settled and self.people.states([self.person]) == ["cancelled"],
            WITHIN_S,
        )
        assert WHY in str(picture.jobs[self.doomed].panda["values"])
        assert self.people.runs("again") == 0
        assert self.operator.jobs("resubmit", name) == "done to 1 job"

    def make_room(self) -> None:
        """Those that were left as they are run now."""
        self.operator.jobs("kill", self.full)
        self.trial.wait("tried again", lambda _: self.people.states([self.person]) == ["done"], WITHIN_S)
        assert self.people.runs("again") == 1

    def where_they_went(self, picture: Picture) -> None:
        places = {i: [picture.ces[a.ce_id] for a in job.attempts] for i, job in picture.jobs.items()}
        direct, pool = self.pools.direct.url, self.pools.pool.url
        assert [places[i] for i in (self.leaves, self.stays, self.moved)] == [[direct, pool], [direct], [pool]]
        assert places[self.hidden] == places[self.doomed] == [self.pools.grid.url]

    def clean(self) -> None:
        self.operator.jobs("clean", *self.people.names([self.person]))
        assert left_in_queues(self.trial, "condorA", "condorB") == []
