"""One bad CE next to a good one: the good one keeps its pace, operators are told, and silence cancels nothing.

The good CE has few slots, and the tower may queue only a few jobs there at a time. So its slots stay busy as long as
the tower looks after it all the time; their share that is busy is its pace.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import mean
from typing import Any

import pytest

from act_atlas.demo.mix import DONE, Kind
from act_atlas.demo.picture import Picture
from act_atlas.demo.run import complaints
from act_atlas.trial import TrialCE
from tests.acceptance.trial import Trial

pytestmark = [pytest.mark.slow, pytest.mark.pace]

GOOD = Kind("at the good CE", "GOOD", "finished", DONE)
BAD = Kind("at the bad CE", "BAD", "finished", DONE)
EXPIRED = Kind("never at a CE", "EXPIRED", "cancelled", ("donecancelled",), runs=0)
SLOTS, RUN_S = 4, 1.0
WINDOW_S = 6.0
KEPT_PACE = 0.95
GIVEN_UP = {"cancelled", "tocancel", "cancelling", "lost", "failed", "donefailed"}
LIMITS = f"<limits><max_waiting>{4 * SLOTS}</max_waiting></limits>"


class Scene:
    """A tower with a good CE, one that can be made bad, and one whose certificate has expired."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        directory = str(trial.world.directory)
        options = ("--dir", directory, "--run-s", str(RUN_S), "--slots", str(SLOTS))
        trial.world.panda = told = trial.world.start("bench.far_side", *options)
        self.good, self.bad = (TrialCE("ARC-CE", url, "default") for url in told["ces"])
        self.expired = trial.world.start_ce("expired", "--run", "pretend", "--cert-expired")
        queues = {"GOOD": [self.good], "BAD": [self.bad], "EXPIRED": [self.expired]}
        trial.set_up(queues, more=LIMITS, read_s=3, call_s=4, transfer_s=4, lease_s=10).start()
        trial.order(GOOD, 60)
        trial.wait("at work", lambda p: p.panda_counts()["finished"] > SLOTS, 60)
        self.alone = self.pace()

    def pace(self) -> float:
        """How many slots of the good CE are busy on average, while there is enough for it."""
        waiting = self.trial.look().panda_counts("GOOD")["activated"]
        self.trial.order(GOOD, max(1, 60 - waiting))
        self.trial.wait("all busy", lambda _: self.busy() == SLOTS, 20)
        seen, end = [], time.monotonic() + WINDOW_S
        while time.monotonic() < end:
            seen.append(self.busy())
            time.sleep(0.2)
        return mean(seen)

    def keeps_pace(self) -> bool:
        """Whether the good CE is as busy as when it was alone, in one of three windows: one may see other load here."""
        return any(self.pace() >= KEPT_PACE * self.alone for _ in range(3))

    def waiting(self) -> list[tuple[str, dict[str, Any]]]:
        """Jobs that wait for a slot of the bad CE."""
        jobs = self.trial.simulator(self.bad)["jobs"].items()
        return [(i, job) for i, job in jobs if job["state"] == "QUEUING"]

    def busy(self) -> int:
        """How many slots of the good CE are busy now."""
        return sum(job["state"] == "RUNNING" for job in self.trial.simulator(self.good)["jobs"].values())

    def order_bad(self, count: int = 3 * SLOTS) -> list[int]:
        """Jobs for the bad CE, some of which are there when this returns."""
        ids = self.trial.order(BAD, count)
        self.trial.wait("at the CE", lambda p: sum(s != "tosubmit" for s in states(p, ids)) > SLOTS, 30)
        return ids

    @contextmanager
    def fault(self, rule: dict[str, Any]) -> Iterator[None]:
        """The bad CE is bad."""
        self.trial.disturb(self.bad, "POST", "faults", rule)
        yield
        self.trial.disturb(self.bad, "DELETE", "faults")

    def status(self) -> str:
        """What `actctl status` says, on one line."""
        return " ".join(self.trial.tower.actctl("status").stdout.split())

    def end(self, ids: Sequence[int]) -> Picture:
        """How these jobs ended."""
        picture = self.trial.wait("over", lambda p: all(p.jobs[i].settled for i in ids), 120)
        return Picture({i: picture.jobs[i] for i in ids}, picture.ces, 0)


def states(picture: Picture, ids: Sequence[int]) -> list[str]:
    """The states of these jobs' attempts."""
    return [a.state for i in ids for a in picture.jobs[i].attempts]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Trial(tmp_path_factory.mktemp("bad-ces")) as trial:
        yield Scene(trial)


@pytest.mark.parametrize(
    ("action", "told"),
    [("hang", "timed out"), ("garbage", "not as agreed"), ("error-before", "500 Internal Server Error")],
)
def test_one_that_gives_no_useful_answer_slows_nobody_and_no_job_is_given_up(
    scene: Scene, action: str, told: str
) -> None:
    ids = scene.order_bad()
    with scene.fault({"path": "^/arex", "action": action}):
        ids += scene.trial.order(BAD, 3)
        assert scene.keeps_pace()
        assert not GIVEN_UP & set(states(scene.trial.look(), ids))
        status = scene.status()
    assert scene.bad.url in status
    assert told in status
    assert list(complaints(scene.end(ids), scene.trial.kinds)) == []


def test_one_whose_certificate_has_expired_slows_nobody_and_gets_no_job(scene: Scene) -> None:
    ids = scene.trial.order(EXPIRED, 3)
    assert scene.keeps_pace()
    status = scene.status()
    assert scene.expired.url in status
    assert "certificate has expired" in status
    assert set(states(scene.trial.look(), ids)) == {"tosubmit"}
    scene.trial.kill_at_panda(*ids)
    assert list(complaints(scene.end(ids), scene.trial.kinds)) == []


def test_one_that_loses_a_job_and_lists_nothing_costs_that_job_only(scene: Scene) -> None:
    ids = scene.order_bad(8 * SLOTS)
    scene.trial.wait("one waits there", lambda _: bool(scene.waiting()), 30)
    job_id, lost = scene.waiting()[0]
    scene.trial.disturb(scene.bad, "POST", "lose", {"id": job_id})
    scene.trial.disturb(scene.bad, "POST", "empty_list", {"times": 100})
    # an answer that is lost makes the tower look into those lists
    with scene.fault({"method": "POST", "path": "jobs.action=new", "action": "cut-after", "times": 1}):
        assert scene.keeps_pace()
    scene.trial.disturb(scene.bad, "POST", "empty_list", {"times": 0})
    picture = scene.end(ids)
    gone = [i for i, job in picture.jobs.items() if any(e.event == "gone" for e in job.events)]
    assert [str(i) for i in gone] == [lost["panda_id"]]
    assert {job.panda["status"] for i, job in picture.jobs.items() if i not in gone} == {"finished"}
    assert all(len(job.panda["executions"]) <= 1 for job in picture.jobs.values())
