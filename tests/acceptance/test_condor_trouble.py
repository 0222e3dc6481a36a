"""Real HTCondor in trouble: what becomes of the jobs, and what the operator is told of them."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from act_atlas.demo.mix import DONE, FAILED, Kind
from act_atlas.demo.picture import Picture
from act_atlas.demo.run import complaints
from tests.acceptance.pools import Pools, attempt, away, jobs_at, left_in_queues
from tests.acceptance.trial import Trial
from tests.grid.control import Grid, GridError

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="pools")]

GRID, DIRECT = QUEUES = ("GRID", "DIRECT")
WITHIN_S = 240
AWAY_S = 120.0
SMALL = Kind("small job", "", "finished", DONE, {"seconds": 1})
WIDE = replace(SMALL, what="wider than the pool", order={"seconds": 1, "fields": {"coreCount": 17}})
# Its pilot may tell PanDA of its end, or the tower of the CE's word: who is first is not ours to say.
LONG = Kind("long job", "", "failed", (*FAILED, "donecancelled"), {"seconds": 900})
WITHOUT_SUBMITTER = "<daemon><name>submitter-condor</name><disabled>true</disabled></daemon>"
STEPS = [
    "tx.claim:after",  # the token is written, HTCondor has not been asked
    "ce.create:after",  # it has the jobs, their ids are lost
    "tx.created:after",  # the ids are written, no job may run yet; what could have spooled their files is gone
    "ce.arm:after",  # all may run, and it is not written
]


def test_each_job_runs_exactly_once_however_the_submitter_dies(real_trial: Callable[..., Trial]) -> None:
    trial = set_up(real_trial("condorA", "condorB"), daemons=WITHOUT_SUBMITTER, lease_s=20, transfer_s=15)
    trial.tower.start()
    for step in STEPS:
        for queue in QUEUES:
            trial.order(replace(SMALL, queue=queue), 2)
            trial.wait("waiting for a CE", lambda p: states(p)["tosubmit"] >= 2, 60)
            died = trial.tower.actctl("daemon", "submitter-condor", "--once", ACT_FAULT=f"{step}:die")
            assert died.returncode == -signal.SIGKILL, (step, died.stdout + died.stderr)
    with trial.daemon("submitter-condor"):
        picture = trial.settle(WITHIN_S)
    assert list(complaints(picture, trial.kinds)) == []
    assert left_in_queues(trial, "condorA", "condorB") == []


def test_jobs_that_wait_while_the_ce_is_away_for_minutes_are_told_so_and_end_well(
    real_trial: Callable[..., Trial],
) -> None:
    trial = set_up(real_trial("condorA", "condorB"))
    assert trial.grid is not None
    with away(trial.grid, "condorB", AWAY_S):
        waiting = {queue: trial.order(replace(SMALL, queue=queue), 5) for queue in QUEUES}
        trial.tower.start()
        through, straight = (waiting[queue][0] for queue in QUEUES)
        trial.wait("missing the CE", lambda p: "holding" in {a.state for a in p.jobs[through].attempts}, AWAY_S)
        assert "the CE has not answered its submit point since" in trial.explained(through)
        trial.wait("refused", lambda _: "Connection refused" in trial.explained(straight), AWAY_S)
    picture = trial.settle(WITHIN_S)
    assert list(complaints(picture, trial.kinds)) == []
    assert left_in_queues(trial, "condorA", "condorB") == []


def test_what_becomes_of_jobs_is_told_when_the_site_holds_or_removes_them(real_trial: Callable[..., Trial]) -> None:
    trial = set_up(real_trial("condorA", "condorB"))
    grid = trial.grid
    assert grid is not None
    held = {queue: trial.order(replace(WIDE, queue=queue))[0] for queue in QUEUES}
    removed = {queue: trial.order(replace(LONG, queue=queue))[0] for queue in QUEUES}
    trial.tower.start()
    picture = trial.wait(
        "at the CE",
        lambda p: (
            all(p.jobs[i].panda["status"] == "running" for i in removed.values())
            and set(jobs_at(trial, "condorB", p)) >= {*held.values(), *removed.values()}
        ),
        WITHIN_S,
    )
    grid.kill_schedd("condorB")
    job_of = jobs_at(trial, "condorB", picture)
    for i in held.values():
        grid.run("condorB", "condor_hold", "-reason", "the site looks at it", job_of[i])
    for i in removed.values():
        grid.run("condorB", "condor_rm", "-reason", "the site throws it out", job_of[i])
    trial.wait("held", lambda p: all(attempt(p, i).state == "holding" for i in held.values()), WITHIN_S)
    for i in held.values():
        assert "somebody holds it: the site looks at it" in trial.explained(i)
        grid.run("condorB", "condor_qedit", job_of[i], "RequestCpus", "1")
        release(grid, "condorB", job_of[i])
    picture = trial.settle(WITHIN_S)
    for queue, words in ((GRID, "Job disappeared from remote schedd"), (DIRECT, "the site throws it out")):
        told = trial.explained(removed[queue])
        assert words in told or "PanDA wants its end" in told  # who has heard of it from the pilot, as it was removed
    assert list(complaints(picture, trial.kinds)) == []


def set_up(trial: Trial, **more: object) -> Trial:
    """A tower with a queue for each way to condorB."""
    assert trial.grid is not None
    pools = Pools(trial.grid)
    trial.set_up({GRID: [pools.grid], DIRECT: [pools.direct]}, more=pools.settings, **more)  # type: ignore[arg-type]
    return trial


def release(grid: Grid, pool: str, job: str) -> None:
    """Unless the submit point was faster: a gridmanager that starts anew releases what it finds held at the CE."""
    try:
        grid.run(pool, "condor_release", job)
    except GridError as error:
        if "not held to be released" not in str(error):
            raise


def states(picture: Picture) -> Counter[str]:
    """State -> how many attempts."""
    return Counter(a.state for job in picture.jobs.values() for a in job.attempts)
