"""PanDA jobs through real HTCondor: a submit point and a CE behind it, and straight to a CE, beside ARC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from act_atlas.demo.mix import DONE, Kind
from act_atlas.demo.picture import Picture
from act_atlas.demo.run import complaints
from act_atlas.joblog import joblog_name
from tests.acceptance.pools import Pools, left_in_queues
from tests.acceptance.test_main_job import FAILING, gaps_in_stories
from tests.acceptance.trial import Trial
from tests.services.mariadb import MariaDB

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="pools")]

GRID, DIRECT, POOL, ARC = QUEUES = ("GRID", "DIRECT", "POOL", "ARC")
JOBS, FEW = 100, 5
WITHIN_S = 400
SHAPES = [
    Kind("one core", "", "finished", DONE, {"seconds": 1}),
    Kind("urgent", "", "finished", DONE, {"seconds": 1, "priority": 9000}),
    Kind("2 cores", "", "finished", DONE, {"seconds": 1, "fields": {"coreCount": 2, "minRamCount": 4000}}),
    Kind("a user's", "", "finished", DONE, {"seconds": 1, "label": "user"}),
]
ENDINGS = ("jdl", "out", "err", "log")


def test_100_jobs_through_a_submit_point_and_100_straight_to_the_ce_with_a_schedd_killed(
    real_trial: Callable[..., Trial], mariadb: MariaDB
) -> None:
    mariadb.create_database("condor_jobs")
    trial = real_trial("condorA", "condorB", "ce1")
    assert trial.grid is not None
    pools = Pools(trial.grid)
    queues = {GRID: [pools.grid], DIRECT: [pools.direct], POOL: [pools.pool], ARC: trial.real_ces("ce1")}
    tower = trial.set_up(
        queues, database=mariadb.url("condor_jobs"), more=pools.settings, lease_s=120, transfer_s=60
    )  # a machine that runs so many jobs is slow to answer
    for queue, jobs in zip(QUEUES, (JOBS, JOBS, FEW, FEW), strict=True):
        order(trial, queue, jobs)
    tower.start()
    doomed = [i for i, kind in trial.kinds.items() if kind.killed]
    trial.wait("running", lambda p: all(p.jobs[i].panda["status"] == "running" for i in doomed), WITHIN_S)
    trial.kill_at_panda(*doomed)
    trial.wait("on their way", lambda p: p.panda_counts(GRID)["finished"] >= JOBS // 4, WITHIN_S)
    trial.grid.kill_schedd("condorA")
    picture = trial.settle(WITHIN_S)
    assert tower.stop() == 0
    assert list(complaints(picture, trial.kinds)) == []
    assert list(missing_logs(trial, picture)) == []
    assert list(gaps_in_stories(picture)) == []
    assert left_in_queues(trial, "condorA", "condorB") == []
    assert list(left_in_directories(trial)) == []


def order(trial: Trial, queue: str, jobs: int) -> None:
    """So many jobs; where they are many, some come to a bad end."""
    bad = [replace(kind, queue=queue) for kind in FAILING if kind.runs] if jobs > FEW else []
    for kind in bad:
        trial.order(kind)
    for n, kind in enumerate(SHAPES):
        trial.order(replace(kind, queue=queue), len(range(n, jobs - len(bad), len(SHAPES))))


def missing_logs(trial: Trial, picture: Picture) -> Iterator[str]:
    """Files that should be in the joblog; of a job that was removed HTCondor brings nothing.

    The tower removes it, too, when PanDA has heard of a failure from the pilot before the CE has told of it.
    """
    for pandaid, job in picture.jobs.items():
        kind = trial.kinds[pandaid]
        endings = ENDINGS if kind.queue != ARC else ("jdl", "out", "log")
        assert job.row is not None
        for ending in endings if job.row.state != "donecancelled" else ("jdl",):
            path = trial.world.directory / "joblog" / joblog_name(job.row, ending)
            if not path.is_file() or not (path.stat().st_size or ending == "err"):
                yield f"{path} ({kind.what})"


def left_in_directories(trial: Trial) -> Iterator[Path]:
    """Files of jobs and proxies that should be gone; the last line of a log HTCondor may write after that."""
    assert trial.world.work_dir is not None
    return (path for path in trial.world.work_dir.rglob("*") if not path.is_dir() and path.suffix != ".log")
