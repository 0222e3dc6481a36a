"""What operators do to jobs, seen to its end at a simulated PanDA and at simulated CEs, over the network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from act.config import load_core
from act.control.apply import Action, apply
from act.control.jobs import Filter, Verb
from act.daemons.context import Context
from act.db import cejobs, orders, situation
from act.db.orders import Kind, Order, What
from act.simulation import TestCA
from act_arc.simulator import ArcSimulator
from act_arc.simulator.job import SimJob
from act_atlas import db
from act_atlas.simulator import PandaSimulator
from act_atlas.trial import configuration
from tests.integration.nordugrid import NORDUGRID
from tests.integration.panda_tower import QUEUE, PandaTower
from tests.truth import assert_all_explained

ME, WHY = "operator-joe", "the CE is sick"
WITHIN_S = 120
FAST = """<daemons><idle_s>0.05</idle_s></daemons><polling><status_s>0.1</status_s><missing_s>1</missing_s>
<delegation_idle_s>1</delegation_idle_s></polling>"""
DAEMONS = ("getjob", "panda2arc", "submitter-arc", "status-arc", "canceller-arc", "fetcher-arc", "cleaner-arc",
           "pandastatus", "validator")  # fmt: skip


class GridTower(PandaTower):
    """Its CEs are reached over the network: one where jobs wait for ever, and one where they run at once."""

    def __init__(self, *where: Any, slow: ArcSimulator, quick: ArcSimulator, nordugrid: bool = False) -> None:
        self.slow, self.quick = slow, quick
        super().__init__(*where, core=FAST)
        self._context.close()
        self._context: Any = Context(load_core(self.directory / "aCTConfigARC.xml"))
        places = [("ARC-CE", ce.url, "default") for ce in (slow, quick)]
        entry = configuration.cric_entry(QUEUE, places)
        self.panda.board.cric = {QUEUE: entry | (NORDUGRID if nordugrid else {})}

    def drain(self, *ces: ArcSimulator) -> None:
        """Only the other CEs take new jobs from now on."""

        def write(connection: Any) -> None:
            for ce in (self.slow, self.quick):
                orders.take_back(connection, Kind.CE, ce.url, "", What.DRAIN, ME, WHY)
                if ce in ces:
                    orders.give(connection, Order(kind=Kind.CE, name=ce.url, what=What.DRAIN, why=WHY), ME)

        self.db.run("t", write)

    def drive(self, done: Callable[[], bool], *more: str) -> None:
        """The daemons work on until something is so. more: daemons beside those that always do."""
        end = time.monotonic() + WITHIN_S
        while not done():
            assert time.monotonic() < end, [(r.pandaid, r.state, self.attempts(r.pandaid))
                                            for r in self.db.read("t", db.listing)]  # fmt: skip
            self.once(*DAEMONS, *more)
            time.sleep(0.05)

    def act(self, verb: Verb, pandaid: int, value: Any = None) -> str:
        """Why it was not done, "" if it was."""
        action = Action(verb, Filter(names=(str(pandaid),)), ME, WHY, value)
        ((done,),) = apply(self.db, action)
        return done.refused

    def attempts(self, pandaid: int) -> list[str]:
        """Their states."""
        job = self.job(pandaid).id
        return [r.state for r in self.db.read("t", lambda c: cejobs.of_application(c, db.SOURCE, job))]

    def at(self, ce: ArcSimulator, pandaid: int) -> list[str]:
        """The states of the job's submissions at a CE, those that were cleaned too."""
        with ce.engine.lock:
            return [j.state for j in (*ce.engine.jobs.values(), *ce.engine.gone) if j.panda_id == str(pandaid)]

    def waiting(self, **order: Any) -> int:
        """A job that waits at the slow CE for ever."""
        self.drain(self.quick)
        (pandaid,) = self.order(**order)
        self.drive(lambda: self.has(pandaid) and self.attempts(pandaid) == ["submitted"], "heartbeat")
        return pandaid

    def placeless(self, **order: Any) -> int:
        """A job that waits for a CE, as none takes any."""
        self.drain(self.slow, self.quick)
        (pandaid,) = self.order(**order)
        self.drive(lambda: self.has(pandaid) and self.attempts(pandaid) == ["tosubmit"], "heartbeat")
        return pandaid

    def has(self, pandaid: int) -> bool:
        return self.db.read("t", lambda c: db.find(c, pandaid)) is not None

    def end(self, pandaid: int, state: str) -> None:
        """The job ends so here, and nothing of it is left at any CE."""

        def done() -> bool:
            return self.job(pandaid).state == state and set(self.attempts(pandaid)) == {"archived"}

        self.drive(done, "heartbeat")
        left = [j for ce in (self.slow, self.quick) for j in ce.engine.jobs.values()]
        assert str(pandaid) not in {j.panda_id for j in left}


@pytest.fixture
def started() -> list[str]:
    """PanDA ids in the order in which jobs began to run at the quick CE."""
    return []


@pytest.fixture
def make(
    tmp_path: Path, sqlite_template: Path, panda_ca: TestCA, monkeypatch: pytest.MonkeyPatch, started: list[str]
) -> Iterator[Callable[..., GridTower]]:
    """Makes the tower of the test."""
    with ExitStack() as stack, PandaSimulator(panda_ca, adder_s=1) as panda:

        def tell(status: str) -> Callable[[SimJob], None]:
            def hook(job: SimJob) -> None:
                if status == "running":
                    started.append(job.panda_id)
                panda.board.update(int(job.panda_id), status, {"attempt_nr": 1}, "pilot")

            return hook

        def make(nordugrid: bool = False) -> GridTower:
            hooks = {} if nordugrid else {"on_start": tell("running"), "on_end": tell("finished")}
            slow = stack.enter_context(ArcSimulator(tmp_path / "slow", panda_ca, run="pretend", queue_s=3600))
            quick = stack.enter_context(ArcSimulator(tmp_path / "quick", panda_ca, run="pretend", run_s=0.2, **hooks))
            tower = GridTower(tmp_path, sqlite_template, panda_ca, panda, slow=slow, quick=quick, nordugrid=nordugrid)
            stack.callback(tower.close)
            for variable, value in tower.environment.items():
                monkeypatch.setenv(variable, value)
            tower.once("proxy", "cric")
            stack.callback(assert_all_explained, tower.environment)
            return tower

        yield make


def test_a_killed_job_ends_at_its_ce_and_at_panda(make: Callable[..., GridTower]) -> None:
    tower = make()
    pandaid = tower.waiting()
    assert tower.act(Verb.KILL, pandaid) == ""
    tower.end(pandaid, "donecancelled")
    assert tower.at(tower.slow, pandaid) == ["KILLED"]
    tower.pass_time(10)
    story = tower.panda.board.describe([pandaid])[pandaid]
    assert tower.known(pandaid) == "failed" and WHY in str(story["values"])
    there = tower.panda.board._jobs[pandaid]
    there.status, there.reported = "running", False  # as if PanDA had lost a day
    assert tower.act(Verb.REPLAY, pandaid) == ""
    tower.once("heartbeat")
    tower.pass_time(10)
    assert tower.known(pandaid) == "failed"
    assert tower.act(Verb.CLEAN, pandaid) == ""
    assert not tower.has(pandaid)


def test_a_requeued_job_runs_once_at_another_ce(make: Callable[..., GridTower], started: list[str]) -> None:
    tower = make()
    pandaid = tower.waiting()
    tower.drain(tower.slow)
    assert tower.act(Verb.REQUEUE, pandaid) == ""
    tower.drive(lambda: len(tower.attempts(pandaid)) == 2)
    tower.end(pandaid, "done")
    assert (tower.at(tower.slow, pandaid), tower.at(tower.quick, pandaid)) == (["KILLED"], ["FINISHED"])
    assert started == [str(pandaid)]
    told = [by for _, _, by in tower.panda.board.describe([pandaid])[pandaid]["history"]]
    assert told.count("pilot: finished") == 1


def test_quarantine_move_and_priority_decide_what_runs_where_and_when(
    make: Callable[..., GridTower], started: list[str]
) -> None:
    tower = make()
    first, last = tower.placeless(), tower.placeless()
    kept = tower.placeless()
    assert [tower.act(Verb.QUARANTINE, kept), tower.act(Verb.PRIORITY, last, 9000)] == ["", ""]
    to = [r.id for r in _queues(tower) if r.url == tower.quick.url]
    for pandaid in (first, last, kept):
        assert tower.act(Verb.MOVE, pandaid, to) == ""
    limit = Order(kind=Kind.CE, name=tower.quick.url, what=What.MAX_JOBS, value=1, why=WHY)
    tower.db.run("t", lambda c: orders.give(c, limit, ME))
    tower.drain()
    for pandaid in (last, first):
        tower.end(pandaid, "done")
    assert started == [str(last), str(first)]
    assert (tower.attempts(kept), tower.known(kept)) == (["quarantined"], "starting")
    assert tower.act(Verb.RELEASE, kept) == ""
    tower.end(kept, "done")
    assert [tower.at(tower.slow, i) for i in (first, last, kept)] == [[], [], []]


def _queues(tower: GridTower) -> list[Any]:
    rows = tower.db.read("t", lambda c: situation.ces_named(c, ""))
    return [q for r in rows for q in tower.db.read("t", lambda c, r=r: situation.cequeues_of(c, r.id))]


def test_a_job_that_the_tower_speaks_for_is_run_again_before_panda_hears_of_its_failure(
    make: Callable[..., GridTower],
) -> None:
    tower = make(nordugrid=True)
    tower.drain(tower.slow)
    (pandaid,) = tower.order()
    tower.once("getjob", "heartbeat")
    tower.drive(lambda: tower.job(pandaid).state == "failed")  # it leaves no report, and nobody tells PanDA yet
    assert tower.act(Verb.RESUBMIT, pandaid) == ""
    tower.drive(lambda: len(tower.attempts(pandaid)) == 2)
    tower.drive(lambda: tower.job(pandaid).state == "failed")
    assert tower.known(pandaid) in ("sent", "starting")
    tower.end(pandaid, "donefailed")
    tower.pass_time(10)
    assert (tower.known(pandaid), tower.at(tower.quick, pandaid)) == ("failed", ["FINISHED"] * 2)
    assert "PanDA may have heard" in tower.act(Verb.RESUBMIT, pandaid)
