"""kill -9 of the submitter at each step of the submit protocol, before a real ARC CE: every job runs exactly once."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable

import pytest

from act_atlas.demo.mix import DONE, Kind
from act_atlas.demo.picture import Picture
from act_atlas.demo.run import complaints
from tests.acceptance.trial import Trial

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="arc")]

QUEUE = "KILLED"
TRIES = 3
JOB = Kind("small job", QUEUE, "finished", DONE, {"seconds": 1})
WITHOUT_SUBMITTER = "<daemon><name>submitter-arc</name><disabled>true</disabled></daemon>"
STEPS = [
    "ce.delegate:after",  # the CE has a delegation that nobody knows
    "tx.claim:after",  # the token is written, the CE has not been asked
    "ce.create:before",
    "ce.create:after",  # the CE has the jobs, their ids are lost
    "tx.created:before",
    "tx.created:after",  # the ids are written, no job may run yet
    "ce.arm:before",
    "ce.arm:after",  # the first of several jobs may run
    "tx.armed:before",  # all may run, and it is not written
    "tx.armed:after",
]


def test_each_job_runs_exactly_once_however_the_submitter_dies(real_trial: Callable[..., Trial]) -> None:
    trial = real_trial("ce2")
    tower = trial.set_up({QUEUE: trial.real_ces("ce2")}, daemons=WITHOUT_SUBMITTER, lease_s=8, call_s=6, transfer_s=6)
    tower.start()
    for step in STEPS:
        said: list[str] = []
        while (told := die_at(trial, step)) and len(said) < TRIES:
            said.append(told)
        assert not told, f"{step} was not reached: {said}"
    with trial.daemon("submitter-arc"):
        picture = trial.settle(240)
    assert list(complaints(picture, trial.kinds)) == []
    assert picture.tower_counts() == Counter({"done": len(trial.kinds)})


def die_at(trial: Trial, step: str) -> str:
    """More jobs, and a submitter that dies at this step; returns what it said if it did not, as a CE may hiccup."""
    trial.order(JOB, 3)
    trial.wait("waiting for a CE", lambda p: waiting(p) >= 3, 60)
    died = trial.tower.actctl("daemon", "submitter-arc", "--once", ACT_FAULT=f"{step}:die")
    return "" if died.returncode == -signal.SIGKILL else died.stdout + died.stderr


def waiting(picture: Picture) -> int:
    """How many attempts wait for a CE."""
    return sum(a.state == "tosubmit" for job in picture.jobs.values() for a in job.attempts)
