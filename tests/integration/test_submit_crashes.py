"""The submit protocol under crashes and lost answers: every job runs exactly once."""

from __future__ import annotations

import pytest

from act import faults
from act.errors import CEBroken
from tests.fakes import Crash, unreachable
from tests.integration.conftest import MakeTower
from tests.tower import Tower

FLOW = ("submitter", "reconciler", "status")
MANY = 60  # more effects than one round of submission has


@pytest.fixture
def powered(tower: Tower, monkeypatch: pytest.MonkeyPatch) -> Tower:
    """A tower whose transactions hang on the same power as its calls to CEs."""
    monkeypatch.setattr(faults, "hit", tower.sites[0].power.hit)
    return tower


def ran_once_and_is_over(tower: Tower, ids: list[int]) -> None:
    """All attempts end well, each was executed once, and the CE runs nothing else."""
    tower.settle(kinds=FLOW, until=ids)
    assert set(tower.states(ids)) == {"finished"}
    assert tower.runs() == [1] * len(ids)


def test_a_job_is_submitted_runs_and_is_seen_to_end(tower: Tower) -> None:
    ids = tower.submit(3)
    tower.once("submitter")
    assert tower.states(ids) == ["submitted"] * 3
    for job in ids:
        assert tower.events(job) == ["claim", "accepted", "armed"]
    ran_once_and_is_over(tower, ids)


def test_wherever_the_submitter_dies_every_job_runs_once(powered: Tower) -> None:
    """The power is cut at every effect in turn; after it the tower starts anew."""
    power, site = powered.sites[0].power, powered.sites[0]
    cut = 0
    for number in range(MANY):
        site.jobs.clear()
        ids = powered.submit(3)
        power.cut_at(number)
        try:
            powered.once("submitter")
        except Crash:
            cut += 1
        point = power.passed[-1]
        powered.restart()
        if len(power.passed) <= number:
            break
        powered.settle(8, FLOW, until=ids)
        assert set(powered.states(ids)) == {"finished"}, point
        assert powered.runs() == [1, 1, 1], point
    assert cut >= 15


def test_wherever_the_reconciler_dies_every_job_runs_once(powered: Tower) -> None:
    """The submitter died after the CE had taken the jobs; then the reconciler dies at each of its effects."""
    power, site = powered.sites[0].power, powered.sites[0]
    cut = 0
    for number in range(MANY):
        site.jobs.clear()
        ids = powered.submit(2)
        site.fails("create", unreachable(), "after")
        powered.once("submitter")
        powered.pass_time(700)
        power.cut_at(number)
        try:
            powered.once("reconciler")
        except Crash:
            cut += 1
        point = power.passed[-1]
        powered.restart()
        if len(power.passed) <= number:
            break
        powered.settle(8, FLOW, until=ids)
        assert set(powered.states(ids)) == {"finished"}, point
        assert powered.runs() == [1, 1], point
    assert cut >= 8


@pytest.mark.parametrize("phase", ["before", "after", "late"])
@pytest.mark.parametrize("call", ["delegate", "create", "inspect", "arm"])
@pytest.mark.parametrize("error", [unreachable(), CEBroken("500")], ids=["silent", "broken"])
def test_an_answer_that_is_lost_makes_nothing_run_twice(tower: Tower, call: str, phase: str, error: Exception) -> None:
    ids = tower.submit(3)
    tower.sites[0].fails(call, error, phase)  # type: ignore[arg-type]
    tower.once("submitter")
    ran_once_and_is_over(tower, ids)


def test_what_is_created_after_the_client_gave_up_never_runs_beside_its_replacement(tower: Tower) -> None:
    """Two complete lists without it, it is submitted anew, and only then the CE carries out the first request."""
    ids, site = tower.submit(2), tower.sites[0]
    site.fails("create", unreachable(), "late")
    tower.once("submitter")
    for _ in range(4):
        tower.pass_time(700)
        tower.once("reconciler")
    assert tower.states(ids) == ["tosubmit"] * 2
    tower.once("submitter")
    site.deliver()
    assert len(site.jobs) == 4
    tower.settle(kinds=FLOW, until=ids)
    assert tower.states(ids) == ["finished"] * 2
    assert tower.runs() == [1, 1]
    tower.pass_time(3700)
    tower.once("reconciler")  # sweeps
    site.tick()
    tower.pass_time(3700)
    tower.once("reconciler")
    assert len(site.jobs) == 2


def test_a_request_that_never_left_is_put_back_at_once(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("create", unreachable(sent=False))
    tower.once("submitter")
    assert tower.events(job) == ["claim", "putback"]
    ran_once_and_is_over(tower, [job])


def test_one_complete_list_without_a_job_is_not_enough(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("create", unreachable(), "before")
    tower.once("submitter")
    tower.pass_time(700)
    tower.once("reconciler")
    tower.once("reconciler")  # at the same moment: a second look at the same picture
    assert tower.states([job]) == ["submitting"]


def test_a_ce_that_is_silent_leaves_rows_in_doubt_where_they_are(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("create", unreachable(), "after")
    tower.once("submitter")
    tower.sites[0].fails("*", unreachable(), times=99)
    tower.settle(10, FLOW)
    assert tower.states([job]) == ["submitting"]
    tower.sites[0].heal()
    ran_once_and_is_over(tower, [job])


def test_answers_of_a_bulk_in_the_wrong_order_are_set_right(new_tower: MakeTower) -> None:
    tower = new_tower()
    tower.sites[0].mix_up = True
    ids = tower.submit(4)
    tower.once("submitter")
    for job in ids:
        row = tower.get(job)
        assert tower.sites[0].jobs[row.ce_job_id].name.endswith(row.token)
    ran_once_and_is_over(tower, ids)


def test_a_created_job_whose_arming_never_came_is_submitted_anew(tower: Tower) -> None:
    (job,), site = tower.submit(), tower.sites[0]
    site.fails("arm", unreachable(), "before")
    tower.once("submitter")
    site.end_inert()
    ran_once_and_is_over(tower, [job])
    assert "unarmed" in tower.events(job)


def test_a_job_that_waits_at_the_ce_is_armed_by_the_reconciler(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("arm", unreachable(), "before")
    tower.once("submitter")
    assert tower.states([job]) == ["created"]
    tower.once("reconciler")
    assert tower.states([job]) == ["submitted"]
    assert len(tower.sites[0].jobs) == 1
    ran_once_and_is_over(tower, [job])
