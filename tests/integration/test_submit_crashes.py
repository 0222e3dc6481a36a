"""The submit protocol under crashes and lost answers: every job runs exactly once."""

from __future__ import annotations

import contextlib

import pytest

from act import faults
from act.errors import CEBroken, DatabaseBusy
from tests.fakes import unreachable
from tests.integration.conftest import MakeTower
from tests.power import Crash
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


def passes(tower: Tower, kind: str, number: int) -> bool:
    """One pass that dies or fails at this effect; whether it came that far."""
    power = tower.sites[0].power
    with contextlib.suppress(Crash, DatabaseBusy):
        tower.once(kind)
    came_there = len(power.passed) > number
    tower.restart()
    return came_there


def trouble(tower: Tower, how: str, number: int) -> None:
    """The power goes, or an effect fails, at the effect with this number."""
    power = tower.sites[0].power
    {"die": power.cut_at, "fail": power.fail_at}[how](number)


@pytest.mark.parametrize("how", ["die", "fail"])
def test_wherever_the_submitter_is_struck_every_job_runs_once(powered: Tower, how: str) -> None:
    """At every effect in turn: each transaction and each call, before and after."""
    site = powered.sites[0]
    for number in range(MANY):
        site.jobs.clear()
        ids = powered.submit(3)
        trouble(powered, how, number)
        struck = passes(powered, "submitter", number)
        point = site.power.passed[-1]
        powered.settle(10, FLOW, until=ids)
        assert set(powered.states(ids)) == {"finished"}, point
        assert powered.runs() == [1, 1, 1], point
        if not struck:
            break
    assert 15 <= number < MANY


@pytest.mark.parametrize("how", ["die", "fail"])
def test_wherever_the_reconciler_is_struck_every_job_runs_once(powered: Tower, how: str) -> None:
    """After the submitter lost the answer of a CE that had taken the jobs."""
    site = powered.sites[0]
    for number in range(MANY):
        site.jobs.clear()
        ids = powered.submit(2)
        site.fails("create", unreachable(), "after")
        powered.once("submitter")
        powered.pass_time(700)
        trouble(powered, how, number)
        struck = passes(powered, "reconciler", number)
        point = site.power.passed[-1]
        powered.settle(10, FLOW, until=ids)
        assert set(powered.states(ids)) == {"finished"}, point
        assert powered.runs() == [1, 1], point
        if not struck:
            break
    assert 8 <= number < MANY


def test_a_commit_of_unknown_outcome_is_read_back_and_the_work_goes_on(
    tower: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hit(point: str, phase: str, error: type[Exception]) -> None:
        if (point, phase) == ("tx.created", "after"):
            raise error("the connection broke")

    monkeypatch.setattr(faults, "hit", hit)
    (job,) = tower.submit()
    tower.once("submitter")
    assert tower.events(job) == ["claim", "accepted", "armed"]


def test_a_list_that_is_empty_though_jobs_are_there_cancels_nothing(tower: Tower) -> None:
    running = tower.submit(2)
    tower.once("submitter")
    tower.sites[0].tick()
    doubtful = tower.submit(1)
    tower.sites[0].fails("create", unreachable(), "after")
    tower.once("submitter")
    tower.sites[0].lists_nothing = True
    for _ in range(4):
        tower.pass_time(3700)
        tower.once("reconciler")
    assert not {j.state for j in tower.sites[0].jobs.values()} & {"killing", "killed"}
    tower.settle(kinds=FLOW, until=[*running, *doubtful])
    assert tower.runs() == [1, 1, 1]


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
