"""Operators act on a tower before real CEs: each order does what it says, and no job runs twice because of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from act_atlas.demo.mix import DONE, Kind
from act_atlas.demo.picture import Job, Picture
from act_atlas.demo.run import complaints
from tests.acceptance.operating import SUBJECT, WHO, WHY, Ledger, Operator, People, states
from tests.acceptance.trial import Trial, sole_use
from tests.services.mariadb import MariaDB

pytestmark = [pytest.mark.real, pytest.mark.slow]

WITHIN_S = 240
SLOTS = 20  # of a CE of the test grid
ENDED = ("--state", "done", "--state", "donefailed", "--state", "donecancelled")
BOTH, FIRST, LATER = "BOTH", "FIRST", "LATER"
SMALL = Kind("small job", BOTH, "finished", DONE, {"seconds": 1})
LONG = Kind("killed while it runs", BOTH, "failed", ("donefailed", "donecancelled"), {"seconds": 600})
AT_FIRST, AT_LATER = replace(SMALL, queue=FIRST), replace(SMALL, queue=LATER)
ALARMED = "<alarms><ce_down_s>3</ce_down_s></alarms>"
BY_HER = f"(operator-{WHO}: {WHY})"


@pytest.mark.group(name="arc")
def test_a_ce_is_emptied_and_what_waited_there_runs_once_elsewhere(
    real_trial: Callable[..., Trial], mariadb: MariaDB, tmp_path: Path
) -> None:
    mariadb.create_database("operator")
    trial = real_trial("ce1", "ce2")
    Emptying(trial, mariadb.url("operator"), tmp_path / "home").all()


class Emptying:
    """An operator's day with two CEs. The second one has a queue of its own for jobs that come later."""

    def __init__(self, trial: Trial, database: str, home: Path) -> None:
        self.trial, self.home = trial, home
        self.ce1, self.ce2 = ces = trial.real_ces("ce1", "ce2")
        self.people = People(trial, ces)
        known = f'<ces><ce url="{self.ce2.url}"/></ces>'
        queues = {BOTH: ces, FIRST: ces[:1], LATER: [replace(self.ce2, queue="long")]}
        tower = trial.set_up(queues, database=database, more=self.people.configuration + known)
        self.operator, self.ledger = Operator(tower), Ledger(trial, "ce1", "ce2")

    def all(self) -> None:
        """Everything, in order."""
        self.fill_the_first()
        self.drain()
        self.requeue()
        self.order_what_waits()
        self.empty()
        self.let_it_have_jobs_again()
        self.release()
        picture = self.trial.settle(WITHIN_S)
        assert list(complaints(picture, self.trial.kinds)) == []
        self.where_they_ran(picture)
        self.tell_panda_again(picture)
        self.clean()

    def fill_the_first(self) -> None:
        """No slot is free there, and a queue has formed."""
        self.operator.order("drain", "ce", self.ce2.url)
        self.trial.tower.start()
        self.people.begin(self.home)
        self.fillers = self.people.run("ce1", "filler", "sleep 600", "--array", f"1-{SLOTS - 1}")
        (self.long,) = self.trial.order(LONG)
        (self.later,) = self.trial.order(AT_LATER)
        (self.broken,) = self.people.run("ce2", "broken", f"test $(wc -l <{self.people.ran}/broken) = 2")
        full = ["running"] * len(self.fillers)
        self.trial.wait(
            "full",
            lambda p: p.jobs[self.long].panda["status"] == "running" and self.people.states(self.fillers) == full,
            WITHIN_S,
        )
        self.waiting = self.trial.order(SMALL, 4)
        self.trial.wait("in the queue", lambda p: states(p, *self.waiting) == ["submitted"] * 4, WITHIN_S)

    def drain(self) -> None:
        """Nothing new goes there, and those who ask are told why."""
        said = self.operator.order("drain", "ce", self.ce1.url, "--for", "2h")
        assert said.startswith(f"CE {self.ce1.url}: takes no new jobs until 20")
        self.new = self.trial.order(SMALL, 2)
        self.kept, self.late, self.urgent = self.trial.order(AT_FIRST, 3)
        held = (*self.new, self.kept, self.late, self.urgent)
        self.trial.wait("held back", lambda p: states(p, *held) == ["tosubmit"] * len(held), WITHIN_S)
        told = self.trial.explained(self.kept)
        assert f"{self.ce1.url} takes no new jobs until 20" in told and BY_HER in told
        assert "drained" in self.operator("explain", "--ce", self.ce1.url)

    def requeue(self) -> None:
        """What waits there leaves, but for one; what runs must not."""
        self.stays, *self.leaving = self.waiting
        assert "must not run twice" in self.operator.refused("requeue", self.long)
        assert self.operator.jobs("requeue", *self.leaving) == "done to 3 jobs"

    def order_what_waits(self) -> None:
        """Of those that waited for the drained CE alone one is kept, and the others go elsewhere, the urgent first."""
        assert "it is not in quarantine" not in self.operator.jobs("quarantine", self.kept)
        assert f"quarantine: by operator-{WHO}: {WHY}" in self.trial.explained(self.kept)
        self.operator.jobs("priority", 9000, self.urgent)
        self.operator.order("limit", "ce", self.ce2.url, "long", "--max-waiting", 1)
        self.operator.jobs("move", "--to", self.ce2.url, "long", self.late, self.urgent)
        self.operator("resume", "ce", self.ce2.url)

    def empty(self) -> None:
        """What runs there is killed, and what still waits there runs and ends."""
        assert self.operator.jobs("kill", self.long) == "done to 1 job"
        fillers = ("--share", SUBJECT, "--ce", self.ce1.url)
        assert self.operator.jobs("kill", *fillers, "--dry-run").endswith(f"would be done to {SLOTS - 1} jobs")
        self.operator.jobs("kill", *fillers)
        self.trial.wait("ended", lambda p: p.jobs[self.stays].settled and p.jobs[self.long].settled, WITHIN_S)
        picture = self.trial.wait(
            "ended for people", lambda _: set(self.people.states(self.fillers)) == {"cancelled"}, WITHIN_S
        )
        assert WHY in str(picture.jobs[self.long].panda["values"])
        assert "its pilot spoke to PanDA itself" in self.operator.refused("resubmit", self.long)
        assert self.people.runs("filler") == SLOTS - 1
        self.try_again()

    def try_again(self) -> None:
        """A job of people that fails at first ends well when it is tried again."""
        (name,) = self.people.names([self.broken])
        self.trial.wait("failed", lambda _: self.people.states([self.broken]) == ["donefailed"], WITHIN_S)
        assert self.operator.jobs("resubmit", name) == "done to 1 job"
        self.trial.wait("mended", lambda _: self.people.states([self.broken]) == ["done"], WITHIN_S)
        assert self.people.runs("broken") == 2

    def let_it_have_jobs_again(self) -> None:
        said = self.operator("resume", "ce", self.ce1.url)
        assert "no longer: takes no new jobs" in said
        (self.back,) = self.trial.order(AT_FIRST)

    def release(self) -> None:
        """What is in quarantine was left there while all else went on."""
        assert states(self.trial.look(), self.kept) == ["quarantined"]
        assert self.operator.jobs("release", self.kept) == "done to 1 job"

    def where_they_ran(self, picture: Picture) -> None:
        """By A-REX's own words."""
        first, second = self.ledger.begun("ce1"), self.ledger.begun("ce2")
        attempts = {i: [a.id for a in job.attempts] for i, job in picture.jobs.items()}
        there = {i for i, ids in attempts.items() if set(ids) & first.keys()}
        assert there == {self.long, self.back, self.kept, *self.waiting}
        for pandaid in self.leaving:
            left, again = attempts[pandaid]
            assert left in first and again in second
        assert all(second[attempts[i][-1]] == "fork" for i in (*self.new, *self.leaving))
        later, *order = (attempts[i][-1] for i in (self.later, self.urgent, self.late))
        moved = [a for a, queue in second.items() if queue == "long"]
        assert [a for a in moved if a != later] == order and later in moved

    def tell_panda_again(self, picture: Picture) -> None:
        """PanDA is asked once more, and as it knows the end, nothing changes."""
        before, calls = picture.jobs[self.long], self.calls()
        assert self.operator.jobs("replay", self.long) == "done to 1 job"
        more = len(reports(before)) + 1
        after = self.trial.wait("told again", lambda p: len(reports(p.jobs[self.long])) == more, WITHIN_S)
        assert after.jobs[self.long].panda == before.panda
        assert reports(after.jobs[self.long])[-1] == "PanDA knows"
        asked = {call: n - calls[call] for call, n in self.calls().items() if n > calls[call]}
        assert asked == {"GET /api/v1/pilot/get_job_status": 1}

    def calls(self) -> Counter[str]:
        """What PanDA was told and asked of jobs so far."""
        requests = self.trial.world.call("GET", "/_sim/state")["requests"]
        return Counter({c: n for c, n in requests.items() if "update" in c or "status" in c})

    def clean(self) -> None:
        """Nothing is left: here, at the CEs, and of people's files."""
        jobs, people = len(self.trial.kinds), len(self.fillers) + 1
        assert self.operator.jobs("clean", "--app", "atlas", *ENDED) == f"done to {jobs} jobs"
        assert self.operator.jobs("clean", "--app", "client", "--share", SUBJECT) == f"done to {people} jobs"
        self.trial.wait("removed", lambda _: self.people.states([*self.fillers, self.broken]) == [], WITHIN_S)
        assert self.operator("job", "list", "--all").endswith("none")
        assert all(job.row is None for job in self.trial.look().jobs.values())
        assert str(self.long) in self.operator("archive", "find", "--newer", "1h")
        self.trial.wait("gone", lambda _: self.trial.observer.left_at_ces() == [], WITHIN_S)


@pytest.mark.group(name="contract")
def test_a_ce_whose_front_end_is_gone_is_told_until_it_is_back(real_trial: Callable[..., Trial]) -> None:
    with sole_use("ce3"):
        trial = real_trial("ce3")
        (ce,) = trial.real_ces("ce3")
        operator = Operator(trial.set_up({FIRST: [ce]}, more=ALARMED))
        (job,) = trial.order(replace(AT_FIRST, order={"seconds": 15}))
        trial.tower.start()
        trial.wait("running", lambda p: p.jobs[job].panda["status"] == "running", WITHIN_S)
        told, left_alone = f"{ce.url} does not answer", f"{ce.url} is left alone"
        with no_frontend(trial, "ce3"):
            trial.wait("alarm", lambda _: told in operator.alarmed(), WITHIN_S)
            assert told in operator.page()
            trial.wait("explained", lambda _: left_alone in operator("explain", "--ce", ce.url), WITHIN_S)
            trial.wait("explained of the job", lambda _: left_alone in operator("explain", job), WITHIN_S)
        trial.wait("no alarm", lambda _: told not in operator.alarmed() + operator.page(), WITHIN_S)
        picture = trial.settle(WITHIN_S)
    assert list(complaints(picture, trial.kinds)) == []


@contextmanager
def no_frontend(trial: Trial, name: str) -> Iterator[None]:
    """Connections to a CE are refused; its jobs go on."""
    assert trial.grid is not None
    trial.grid.stop_frontend(name)
    try:
        yield
    finally:
        trial.grid.start_frontend(name)


def reports(job: Job) -> list[str]:
    """Why it was taken that PanDA knows a job's end, each time."""
    return [e.why for e in job.events if e.event == "reported"]
