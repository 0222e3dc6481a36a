"""Trouble with single jobs, single CEs and single credentials stays with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from act.errors import CEBroken, CEFull, CredentialError
from act.model import Submission
from tests.fakes import unreachable
from tests.integration.conftest import MakeTower
from tests.kit import SPEC
from tests.tower import Tower

POISON = replace(SPEC, name="poison")
REFUSED = replace(SPEC, extra={"refuse": "no such runtime environment"})
FLOW = ("submitter", "reconciler", "status")


def poisoned(jobs: list[Submission]) -> bool:
    return any(job.spec.name == "poison" for job in jobs)


def test_a_job_that_breaks_every_bulk_it_is_in_is_found_and_the_others_run(tower: Tower) -> None:
    """A CE that cannot read one description fails on the whole request, and makes nothing."""
    good = tower.submit(15)
    (bad,) = tower.submit(1, spec=POISON)
    good += tower.submit(4)
    tower.sites[0].fails("create", CEBroken("500"), times=999, when=poisoned)
    tower.settle(20, FLOW, until=good)
    assert set(tower.states(good)) == {"finished"}
    assert tower.runs() == [1] * 19
    tower.settle(20, FLOW)
    assert tower.get(bad).state == "donefailed"
    assert "fails on this job" in tower.get(bad).error


def test_bulks_that_failed_because_of_the_ce_accuse_no_job(tower: Tower) -> None:
    ids = tower.submit(10)
    tower.sites[0].fails("create", CEBroken("500"), times=2)
    tower.settle(20, FLOW, until=ids)
    assert set(tower.states(ids)) == {"finished"}
    assert tower.runs() == [1] * 10


def test_a_job_that_one_ce_refuses_runs_at_another(new_tower: MakeTower) -> None:
    tower = new_tower(sites=2)
    (job,) = tower.submit(1, tower.places, spec=REFUSED)
    tower.once("submitter")
    events = tower.events(job)
    assert events.count("claim") == 2 and events[-1] == "refused"
    assert tower.get(job).state == "donefailed"


def test_a_refused_job_does_not_hold_up_the_others_of_its_bulk(tower: Tower) -> None:
    good = tower.submit(2)
    (bad,) = tower.submit(1, spec=REFUSED)
    tower.once("submitter")
    assert tower.states([*good, bad]) == ["submitted", "submitted", "donefailed"]


def test_a_ce_that_is_full_is_left_alone_for_a_while_and_nothing_is_counted(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("create", CEFull("no more jobs allowed"))
    tower.once("submitter")
    assert (tower.get(job).state, tower.get(job).doubts) == ("tosubmit", 0)
    calls = tower.sites[0].calls["create"]
    tower.once("submitter")
    assert tower.sites[0].calls["create"] == calls
    tower.pass_time(60)
    tower.once("submitter")
    assert tower.get(job).state == "submitted"


def test_a_credential_that_a_ce_refuses_rests_there_and_nowhere_else(new_tower: MakeTower) -> None:
    tower = new_tower(sites=2)
    here, there = tower.submit(1, tower.places[:1]), tower.submit(1, tower.places[1:])
    tower.sites[0].fails("create", CredentialError("not authorised"), times=99)
    tower.once("submitter")
    tower.once("submitter")
    assert tower.states([*here, *there]) == ["tosubmit", "submitted"]
    assert tower.sites[0].calls["create"] == 1
    tower.sites[0].heal()
    tower.pass_time(60)
    tower.once("submitter")
    assert tower.states(here) == ["submitted"]


def test_after_some_failures_a_ce_is_left_alone_and_then_asked_once(tower: Tower) -> None:
    tower.submit(1)
    tower.sites[0].fails("*", unreachable(sent=False), times=99)
    for _ in range(6):
        tower.once("submitter")
    failed = sum(tower.sites[0].calls.values())
    assert failed == tower.config.breaker.failures
    tower.pass_time(31)
    tower.once("submitter")
    tower.once("submitter")
    assert sum(tower.sites[0].calls.values()) == failed + 1
    tower.sites[0].heal()
    tower.pass_time(700)
    tower.once("submitter")
    tower.once("submitter")
    assert tower.sites[0].calls["arm"] == 1


@pytest.mark.parametrize("error", [unreachable(), CEBroken("garbage")])
def test_a_broken_ce_does_not_hold_up_the_others(new_tower: MakeTower, error: CEBroken) -> None:
    tower = new_tower(sites=3)
    ids = [tower.submit(2, [place]) for place in tower.places]
    tower.sites[1].fails("*", error, times=99)
    tower.once("submitter")
    assert tower.states(ids[0] + ids[2]) == ["submitted"] * 4


def test_attempts_with_a_choice_go_to_the_ce_that_works(new_tower: MakeTower) -> None:
    tower = new_tower(sites=2)
    ids = tower.submit(6, tower.places)
    tower.sites[0].fails("*", unreachable(sent=False), times=99)
    for _ in range(4):
        tower.once("submitter")
        tower.pass_time(5)
    assert tower.states(ids) == ["submitted"] * 6
    assert len(tower.sites[1].jobs) == 6
