"""What operators may do to jobs that people have submitted, and what their owners see of it."""

from __future__ import annotations

from typing import Any

import pytest

from act.client.model import Filter as Chosen
from act.client.tables import LEDGER
from act.control.apply import Action, apply, select
from act.control.jobs import Filter, Verb
from act.db import cejobs
from tests.integration.client_tower import ClientTower, MakeClientTower

ME, WHY = "operator-joe", "its CE is to be emptied"


def act(tower: ClientTower, verb: Verb, *jobs: int, value: Any = None) -> list[str]:
    """Why it was not done to each, "" if it was."""
    wanted = Filter(names=tuple(f"client:{i}" for i in jobs))
    return [d.refused for page in apply(tower.db, Action(verb, wanted, ME, WHY, value)) for d in page]


def found(tower: ClientTower, **wanted: Any) -> list[str]:
    return [j.name for j in tower.db.read("t", lambda c: select(c, Filter(**wanted)))]


def written(tower: ClientTower, job: int, event: str) -> list[tuple[str, str]]:
    rows = tower.db.read("t", lambda c: cejobs.history(c, LEDGER.kind, [job]))
    return [(r.who, r.why) for r in rows if r.event == event]


@pytest.fixture
def tower(new_client_tower: MakeClientTower) -> ClientTower:
    return new_client_tower()


def test_the_owner_reads_why_an_operator_ended_the_job(tower: ClientTower) -> None:
    ann = tower.caller()
    (running,) = tower.active(ann)
    (waiting,) = tower.sent(ann)
    begun = tower.begun(ann)[0]
    assert act(tower, Verb.KILL, running, waiting, begun) == [""] * 3
    assert act(tower, Verb.KILL, running) == [""]
    tower.once("canceller-arc")
    tower.say(running, "killed")
    assert tower.shown(ann, running, waiting) == ["cancelled", "cancelled"]
    for job in (running, waiting):
        assert tower.jobs.one(ann, job).row.error == f"ended by an operator: {WHY}"
        assert written(tower, job, "kill") == [(ME, WHY)]
    assert act(tower, Verb.KILL, running) == ["it has ended already"]


def test_a_job_that_ended_well_before_the_kill_reached_it_says_nothing_of_it(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.active(ann)
    act(tower, Verb.KILL, job)
    tower.once("canceller-arc")
    tower.say(job, "finished", exit_code=0)
    assert (tower.shown(ann, job), tower.jobs.one(ann, job).row.error) == (["done"], "")


def test_a_failed_job_gets_another_attempt_and_is_cleaned(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.active(ann)
    assert act(tower, Verb.RESUBMIT, job) == act(tower, Verb.CLEAN, job) == ["it has not ended: kill it first"]
    tower.say(job, "failed", error="node died")
    assert act(tower, Verb.RESUBMIT, job) == [""]
    tower.once("client2arc", "submitter-arc", "clientstatus")
    assert tower.row(job).attempts == 2
    tower.say(job, "failed", error="node died")
    assert act(tower, Verb.CLEAN, job) == act(tower, Verb.CLEAN, job) == [""]
    assert written(tower, job, "clean") == [(ME, WHY)]
    tower.settle()
    assert found(tower) == []


@pytest.mark.parametrize("killed", [False, True])
def test_a_requeued_job_waits_for_any_ce_again_unless_its_owner_wants_its_end(tower: ClientTower, killed: bool) -> None:
    ann = tower.caller()
    (job,) = tower.sent(ann, ces=("one", "two"))
    tower.once("client2arc", "submitter-arc", "clientstatus")
    first = tower.attempt(job)
    assert act(tower, Verb.REQUEUE, job) == [""]
    if killed:
        tower.jobs.kill(ann, Chosen(ids=(job,)))
    tower.once("canceller-arc")
    tower.say(job, "killed")
    tower.once("client2arc", "submitter-arc", "clientstatus")
    if killed:
        assert tower.shown(ann, job) == ["cancelled"]
    else:
        assert tower.attempt(job).id != first.id
        assert tower.shown(ann, job) == ["submitted"]
        assert written(tower, job, "requeue")
    tower.settle(3)
    assert sum(tower.ran.values()) == (0 if killed else 1)


def test_its_owner_sees_a_job_in_quarantine_and_may_kill_it(tower: ClientTower) -> None:
    ann = tower.caller()
    one, other = tower.sent(ann, 2)
    tower.once("client2arc")
    assert act(tower, Verb.QUARANTINE, one, other) == ["", ""]
    tower.once("submitter-arc", "clientstatus")
    assert tower.shown(ann, one, other) == ["quarantined"] * 2
    tower.jobs.kill(ann, Chosen(ids=(one,)))
    assert act(tower, Verb.RELEASE, other) == [""]
    tower.once("submitter-arc", "clientstatus")
    assert tower.shown(ann, one, other) == ["cancelled", "submitted"]


def test_nobody_is_told_again_of_a_job_of_somebody(tower: ClientTower) -> None:
    (job,) = tower.sent(tower.caller())
    assert act(tower, Verb.REPLAY, job) == ["its owner asks; nobody is told"]


def test_everybody_s_jobs_are_found_by_all_that_is_said(tower: ClientTower) -> None:
    ann, bob = tower.caller(), tower.caller()
    (failed,) = tower.active(bob)
    tower.say(failed, "failed", error="node died", node="wn1.example.org")
    (running,) = tower.active(bob)
    (waiting,) = tower.sent(ann)
    names = [f"client:{i}" for i in (failed, running, waiting)]
    assert found(tower) == found(tower, app="client") == names
    assert found(tower, app="atlas") == found(tower, queue="Q") == []
    assert found(tower, share=f"user-{ann.user_id}") == names[2:]
    assert found(tower, share="user-x") == found(tower, share="A") == []
    assert found(tower, states=("failed",)) == found(tower, error="node d") == found(tower, node="wn1") == names[:1]
    assert found(tower, ce="ce1", states=("running", "active")) == names[1:2]
    assert found(tower, names=(names[1], "client:x", f"{running}", "client:99999999999999999999")) == names[1:2]
