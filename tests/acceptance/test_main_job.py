"""The main job: from PanDA to real ARC CEs and back, with jobs of all shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy import select

from act.config import load_core
from act.db.engine import Database
from act.db.schema import archive
from act_atlas.demo.mix import DONE, FAILED, KILLED, Kind
from act_atlas.demo.picture import Picture
from act_atlas.demo.run import complaints
from act_atlas.joblog import joblog_name
from tests.acceptance.trial import Trial
from tests.services.mariadb import MariaDB

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="arc")]

UNIFIED, SINGLE, NOWHERE = "UNIFIED", "SINGLE", "NOWHERE"
SHAPES = [
    Kind("one core", UNIFIED, "finished", DONE, {"seconds": 1}),
    Kind("urgent", UNIFIED, "finished", DONE, {"seconds": 1, "priority": 9000}),
    Kind("8 cores", UNIFIED, "finished", DONE, {"seconds": 1, "fields": {"coreCount": 8, "minRamCount": 16000}}),
    Kind("much memory", UNIFIED, "finished", DONE, {"seconds": 1, "fields": {"minRamCount": 6000}}),
    Kind("a user's", UNIFIED, "finished", DONE, {"seconds": 1, "label": "user"}),
    Kind("a test", SINGLE, "finished", DONE, {"seconds": 1, "label": "prod_test"}),
    Kind("low priority", SINGLE, "finished", DONE, {"seconds": 1, "priority": 1}),
]
# Where PanDA has failed a job before the CE has said anything, the tower hears of it as a wish to kill it.
FAILED_EARLY, DONE_EARLY = (*FAILED, "donecancelled"), (*DONE, "donecancelled")
FAILING = [
    Kind("payload fails", UNIFIED, "failed", FAILED_EARLY, {"kind": "fail", "exit_code": 65, "seconds": 1}),
    Kind("pilot dies", SINGLE, "failed", FAILED_EARLY, {"kind": "die", "exit_code": 1, "seconds": 1}),
    Kind("pilot reports nothing", UNIFIED, "failed", DONE_EARLY, {"kind": "vanish", "seconds": 1}),
    Kind("an output is missing", UNIFIED, "failed", DONE_EARLY, {"kind": "incomplete", "seconds": 1}),
    Kind("killed while it runs", UNIFIED, "cancelled", KILLED, {"seconds": 600}, killed=True),
    Kind("no CE takes it", NOWHERE, "failed", FAILED, runs=0),
]


def test_50_jobs_of_mixed_shapes_through_two_real_ces(real_trial: Callable[..., Trial], mariadb: MariaDB) -> None:
    mariadb.create_database("main_job")
    trial = real_trial("ce1", "ce2")
    picture = pass_through(trial, ("ce1", "ce2"), 50, mariadb.url("main_job"), within_s=300)
    assert {a.ce_id for job in picture.jobs.values() for a in job.attempts if a.ce_job_id} == {1, 2}


def test_10_jobs_through_an_older_ce(real_trial: Callable[..., Trial]) -> None:
    pass_through(real_trial("ce6"), ("ce6",), 10, "sqlite:///act.db", within_s=300)


def pass_through(trial: Trial, names: Sequence[str], jobs: int, database: str, within_s: float) -> Picture:
    """Send jobs of all kinds through the CEs, and check what is left of them everywhere."""
    ces = trial.real_ces(*names)
    queues = {UNIFIED: ces, SINGLE: ces[:1], NOWHERE: [replace(ce, queue="nowhere") for ce in ces]}
    tower = trial.set_up(queues, database=database)
    for kind in FAILING:
        trial.order(kind)
    for n in range(jobs - len(FAILING)):
        trial.order(SHAPES[n % len(SHAPES)])
    tower.start()
    doomed = [i for i, kind in trial.kinds.items() if kind.killed]
    trial.wait("running", lambda p: all(p.jobs[i].panda["status"] == "running" for i in doomed), within_s)
    trial.kill_at_panda(*doomed)
    picture = trial.settle(within_s)
    assert tower.stop() == 0
    assert list(complaints(picture, trial.kinds)) == []
    assert list(missing_logs(trial, picture)) == []
    assert list(gaps_in_stories(picture)) == []
    assert_archived(trial, picture)
    return picture


def missing_logs(trial: Trial, picture: Picture) -> Iterator[str]:
    """Files that should be in the joblog as <date>/<queue>/<pandaid>.<ending>."""
    for pandaid, job in picture.jobs.items():
        for ending in ("jdl", "out", "log") if trial.kinds[pandaid].runs else ("jdl",):
            path = trial.world.directory / "joblog" / joblog_name(job.row, ending)
            if not path.is_file() or not path.stat().st_size:
                yield f"{path} ({trial.kinds[pandaid].what})"


def gaps_in_stories(picture: Picture) -> Iterator[str]:
    """Jobs whose events do not lead from the first state to the last without a gap, each with who made it."""
    for pandaid, job in picture.jobs.items():
        for kind in ("pandajob", "cejob"):
            events = [e for e in job.events if e.kind == kind]
            gaps = [(a, b) for a, b in pairwise(events) if a.target != b.source]
            if not events or gaps or not all(e.who and e.event for e in events):
                yield f"{pandaid}: {[(e.source, e.event, e.target, e.who) for e in events]}"


def assert_archived(trial: Trial, picture: Picture) -> None:
    """The archiver folds every job with its whole story into one row, and leaves nothing else."""
    at_once = trial.world.directory / "aCTConfigATLAS.xml"
    at_once.write_text(at_once.read_text().replace("<retry_s>", "<archive_after_s>0.1</archive_after_s><retry_s>"))
    done = trial.tower.actctl("daemon", "archiver", "--once")
    assert done.returncode == 0, done.stderr
    database = Database(load_core(trial.core_file).database.connect_url())
    rows = database.read("archive", lambda c: c.execute(select(archive)).all())
    database.close()
    assert {int(row.external_id) for row in rows} == set(picture.jobs)
    for row in rows:
        job = picture.jobs[int(row.external_id)]
        told = json.loads(row.history) if isinstance(row.history, str) else row.history
        kept = len(told["job"]["events"]) + sum(len(a["events"]) for a in told["attempts"])
        assert kept == len(job.events), row
    assert all(job.row is None for job in trial.look().jobs.values())
