"""Inputs that the tower brings out of its store: a job runs with all of them, or not at all."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from act import faults
from act.daemons.submitter import _groups
from act.db.engine import AnyRow
from act.errors import StorageUnavailable
from act.model import InputFile, JobSpec
from act.storage import Store
from tests.integration.conftest import MakeTower
from tests.kit import SPEC
from tests.power import Crash
from tests.tower import Tower

DATA = InputFile("data", stored="inputs/data", size=5)
WITH_DATA = replace(SPEC, inputs=(DATA,))


@pytest.fixture
def full(new_tower: MakeTower) -> Tower:
    """A tower with the file in its store."""
    tower = new_tower()
    with Store(tower.config.paths.store_dir).write(DATA.stored) as file:
        file.write(b"12345")
    return tower


def test_a_job_gets_what_is_in_the_store(full: Tower) -> None:
    (job,) = full.submit(spec=WITH_DATA)
    full.once("submitter")
    assert full.get(job).state == "submitted"
    assert full.sites[0].jobs[full.get(job).ce_job_id].inputs == {"data": b"12345"}


def test_a_job_whose_input_is_lost_ends_with_that_reason_and_the_others_run(full: Tower) -> None:
    lost = replace(SPEC, inputs=(InputFile("data", stored="inputs/lost", size=5),))
    ids = [*full.submit(spec=WITH_DATA), *full.submit(spec=lost), *full.submit(spec=WITH_DATA)]
    full.once("submitter")
    assert full.states(ids) == ["submitted", "donefailed", "submitted"]
    assert "inputs/lost" in full.get(ids[1]).error
    full.settle(until=[ids[0], ids[2]])
    assert full.runs() == [1, 0, 1]


def test_a_store_that_does_not_answer_before_a_job_is_made_is_waited_for(full: Tower) -> None:
    (job,) = full.submit(spec=WITH_DATA)
    full.sites[0].fails("create", StorageUnavailable("the store is away"), times=2)
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            full.once("submitter")
        assert full.get(job).state == "tosubmit"
    full.settle(until=[job])
    assert full.runs() == [1]


def test_a_store_that_does_not_answer_when_a_job_is_to_be_armed_is_waited_for(full: Tower) -> None:
    (job,) = full.submit(spec=WITH_DATA)
    full.sites[0].fails("arm", StorageUnavailable("the store is away"), times=2)
    for daemon in ("submitter", "reconciler"):
        full.once(daemon)
        assert full.get(job).state == "created"
        full.pass_time(10)
    full.once("reconciler")
    assert full.get(job).state == "submitted"
    full.settle(until=[job])
    assert full.runs() == [1]


def test_a_job_whose_inputs_take_longer_than_the_ce_waits_is_given_up_in_the_end(full: Tower) -> None:
    (job,) = full.submit(spec=WITH_DATA)
    full.sites[0].fails("arm", StorageUnavailable("slow"), times=1000)
    for _ in range(60):
        full.pass_time(700)
        full.once("submitter", "reconciler", "status")
        full.sites[0].end_inert()
        if full.get(job).state == "donefailed":
            break
    assert full.get(job).state == "donefailed"
    assert full.get(job).submission == 10
    assert set(full.runs()) == {0}


def test_wherever_the_tower_dies_while_it_uploads_the_job_runs_once_and_with_all_files(
    full: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = full.sites[0]
    monkeypatch.setattr(faults, "hit", site.power.hit)
    both = replace(SPEC, inputs=(DATA, replace(DATA, name="same")))
    died_at = []
    for number in range(60):
        site.jobs.clear()
        (job,) = full.submit(spec=both)
        site.power.cut_at(number)
        with suppress(Crash):
            full.once("submitter")
        came_there = len(site.power.passed) > number
        died_at.append(site.power.passed[-1])
        full.restart()
        full.settle(10, ("submitter", "reconciler", "status"), until=[job])
        assert (full.get(job).state, full.runs()) == ("finished", [1]), died_at[-1]
        assert [j.inputs for j in site.jobs.values() if j.runs] == [{"data": b"12345", "same": b"12345"}]
        if not came_there:
            break
    assert died_at.count("ce.upload:after") >= 2


def row(number: int, doubts: int = 0) -> AnyRow:
    class Row:
        id, jobspec_id = number, number

    one: Any = Row()
    one.doubts = doubts
    return cast(AnyRow, one)


def sizes(batch: int, *megabytes: int, doubts: int = 0) -> list[int]:
    """How many jobs, each with an input of so many MB, go out in each group."""
    jobs: dict[int, JobSpec] = {
        n: replace(SPEC, inputs=(replace(DATA, size=mb * 1_000_000),)) for n, mb in enumerate(megabytes)
    }
    return [len(group) for group in _groups([row(n, doubts) for n in jobs], jobs, batch)]


def test_jobs_go_out_in_groups_of_not_too_many_and_not_too_large() -> None:
    assert sizes(10, *[0] * 25) == [10, 10, 5]
    assert sizes(10, *[30] * 7) == [3, 3, 1]
    assert sizes(10, 500, 1, 500, 1, 1) == [1, 1, 1, 2]
    assert sizes(8, *[0] * 5, doubts=2) == [2, 2, 1]
