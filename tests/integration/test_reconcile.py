"""The reconciler: orphans, restored databases, delegations and deadlines."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from act.db import cejobs, credentials, meta, waiting
from act.db.engine import NOW
from act.db.schema import lanes
from act.states import Event
from tests.fakes import FakeJob, unreachable
from tests.integration.conftest import MakeTower
from tests.kit import SPEC
from tests.tower import Tower

DAY = 86400
HOUR = 3600


@pytest.fixture
def job(tower: Tower) -> int:
    """An attempt that has been armed."""
    (job,) = tower.submit()
    tower.once("submitter")
    return job


def sweep(tower: Tower, times: int = 3) -> None:
    """Look for orphans when it is time, often enough for what is killed to end."""
    for _ in range(times):
        tower.pass_time(HOUR + 1)
        tower.once("reconciler")
        tower.sites[0].tick()


def leave(tower: Tower, name: str, state: str = "running") -> str:
    """A job at the CE that no row knows."""
    site = tower.sites[0]
    ce_job_id = site.new_id()
    site.jobs[ce_job_id] = FakeJob(name, "default", SPEC, "d", state, owner="/CN=production")
    return ce_job_id


def token(tower: Tower, number: int, submission: int = 1, db_id: str | None = None) -> str:
    return f"act.{db_id or tower.db.read('t', meta.identity)}.{number}.{submission}.0123456789abcdef"


# -- orphans -----------------------------------------------------------------------------------------------------------


def test_jobs_of_dead_submissions_are_cancelled_and_cleaned(tower: Tower, job: int) -> None:
    orphan = leave(tower, f"job-{token(tower, job, 0)}")
    sweep(tower)
    assert orphan not in tower.sites[0].jobs
    assert tower.get(job).ce_job_id in tower.sites[0].jobs


@pytest.mark.parametrize("name", ["somebody-else-s", "act", "act.x", "job-act.1.2", "act.{}.1.1.zz.more"])
def test_jobs_without_a_token_are_foreign_and_stay(tower: Tower, job: int, name: str) -> None:
    foreign = leave(tower, name.format(tower.db.read("t", meta.identity)))
    sweep(tower)
    assert tower.sites[0].jobs[foreign].state != "killing"
    assert foreign in tower.sites[0].jobs


def test_jobs_of_another_tower_stay(tower: Tower, job: int) -> None:
    theirs = leave(tower, f"job-{token(tower, 1, db_id='deadbeef')}")
    sweep(tower)
    assert theirs in tower.sites[0].jobs


@pytest.mark.parametrize("state", ["submitting", "created"])
def test_a_job_of_a_row_in_doubt_is_never_an_orphan(tower: Tower, job: int, state: str) -> None:
    """The row's new submission is under way, and what it says may be old: hands off, until that is settled."""
    other = leave(tower, f"job-{token(tower, job, 0)}")
    later = 1e12
    tower.put([job], state, claimed_by="submitter", claimed_until=later)
    sweep(tower)
    assert tower.sites[0].jobs[other].state != "killing"
    assert {other, tower.get(job).ce_job_id} <= set(tower.sites[0].jobs)


@pytest.mark.parametrize("state", ["donefailed", "cancelled", "lost"])
def test_what_is_left_at_the_ce_of_an_attempt_that_is_over_is_removed(tower: Tower, job: int, state: str) -> None:
    tower.put([job], state, ce_job_id=None)
    sweep(tower)
    assert tower.sites[0].jobs == {}


def test_names_of_foreign_jobs_are_asked_for_once(tower: Tower, job: int) -> None:
    for n in range(5):
        leave(tower, f"foreign{n}")
    reconciler = tower.daemon("reconciler")
    for _ in range(3):
        tower.pass_time(HOUR + 1)
        for lane in reconciler.lanes():
            reconciler.work(lane)
    assert tower.sites[0].calls["inspect"] == 1 + 1  # the submitter's look at the names, and ours


# -- restored and copied databases -------------------------------------------------------------------------------------


def test_a_number_never_given_stops_submission_and_cancels_nothing(tower: Tower, job: int) -> None:
    alien = leave(tower, f"job-{token(tower, job + 1000)}")
    orphan = leave(tower, f"job-{token(tower, job, 0)}")
    sweep(tower)
    assert {alien, orphan} <= set(tower.sites[0].jobs)
    assert not {tower.sites[0].jobs[i].state for i in (alien, orphan)} & {"killing", "killed"}
    assert "restored" in str(tower.db.read("t", meta.stopped))
    (new,) = tower.submit()
    tower.once("submitter")
    assert tower.get(new).state == "tosubmit"


def test_a_later_submission_than_was_ever_made_stops_submission_and_cancels_nothing(tower: Tower, job: int) -> None:
    alien = leave(tower, f"job-{token(tower, job, 2)}")
    sweep(tower)
    assert tower.sites[0].jobs[alien].state not in ("killing", "killed")
    assert "restored" in str(tower.db.read("t", meta.stopped))


def test_what_is_left_of_submissions_before_a_release_is_cancelled(tower: Tower, job: int) -> None:
    """As submissions are counted anew then."""
    (poison,) = tower.submit()
    tower.put([poison], "quarantined", submission=8)
    orphan = leave(tower, f"job-{token(tower, poison, 8)}")
    assert tower.db.run("t", lambda c: waiting.release(c, [poison], who="operator", why="mended")) == {}
    sweep(tower)
    assert orphan not in tower.sites[0].jobs
    assert tower.db.read("t", meta.stopped) is None


def test_a_copy_that_got_its_own_identity_goes_on_and_leaves_the_original_s_jobs(tower: Tower, job: int) -> None:
    alien = leave(tower, f"job-{token(tower, job + 1000)}")
    sweep(tower)
    tower.db.run("t", meta.clone_identity)
    sweep(tower)
    assert alien in tower.sites[0].jobs
    (new,) = tower.submit()
    tower.once("submitter")
    assert tower.get(new).state == "submitted"


def test_jobs_of_archived_attempts_raise_no_alarm(tower: Tower, job: int) -> None:
    tower.put([job], "archived")
    tower.db.run("t", lambda c: (meta.note_archived(c, job), c.execute(cejobs.cejobs.delete())))
    sweep(tower)
    assert tower.db.read("t", meta.stopped) is None
    assert tower.sites[0].jobs == {}


# -- delegations -------------------------------------------------------------------------------------------------------


def test_a_delegation_that_nobody_needs_is_removed_and_the_next_job_gets_another(tower: Tower, job: int) -> None:
    (first,) = tower.sites[0].delegations
    tower.put([job], "done")
    tower.pass_time(2 * HOUR)
    tower.once("reconciler")
    assert tower.sites[0].delegations == {}
    tower.submit()
    tower.once("submitter")
    assert first not in tower.sites[0].delegations and len(tower.sites[0].delegations) == 1


def test_a_delegation_stays_while_a_job_needs_it(tower: Tower, job: int) -> None:
    tower.pass_time(3 * DAY)
    tower.once("reconciler")
    assert len(tower.sites[0].delegations) == 1


def test_a_removal_that_broke_off_is_finished_later(tower: Tower, job: int) -> None:
    tower.put([job], "done")
    tower.pass_time(2 * HOUR)
    tower.sites[0].fails("undelegate", unreachable(), "after")
    tower.once("reconciler")
    tower.pass_time(60)
    tower.once("reconciler")
    assert tower.sites[0].delegations == {}
    assert tower.db.read("t", credentials.all_of) == []


def test_a_renewed_proxy_reaches_the_jobs_that_are_at_the_ce(tower: Tower, job: int) -> None:
    tower.renew_proxy(b"second")
    tower.once("reconciler")
    assert list(tower.sites[0].delegations.values()) == ["second"]
    calls = tower.sites[0].calls["renew"]
    tower.once("reconciler")
    assert tower.sites[0].calls["renew"] == calls == 1


def test_a_delegation_that_the_ce_lost_is_made_anew_for_the_next_job(tower: Tower, job: int) -> None:
    tower.sites[0].delegations.clear()
    tower.renew_proxy(b"second")
    tower.once("reconciler")
    (new,) = tower.submit()
    tower.once("submitter")
    assert tower.get(new).state == "submitted"
    assert list(tower.sites[0].delegations.values()) == ["second"]


# -- deadlines ---------------------------------------------------------------------------------------------------------


def wait(tower: Tower, seconds: float, *, answering: bool = True) -> None:
    """So much time, in which the CE answered all polls, or none."""
    tower.pass_time(seconds)
    if answering:
        tower.db.run("t", lambda c: c.execute(update(lanes).values(polled=NOW - 60)))
        tower.once("status")
    tower.once("reconciler")


def test_an_attempt_that_waits_too_long_at_the_ce_is_cancelled(tower: Tower, job: int) -> None:
    tower.once("status")
    wait(tower, 6 * DAY)
    assert tower.get(job).state == "submitted"
    wait(tower, 1.1 * DAY)
    assert (tower.get(job).state, tower.events(job)[-1]) == ("tocancel", "cancel")


def test_deadlines_stand_still_while_the_ce_is_silent_for_seven_days_at_most(tower: Tower, job: int) -> None:
    tower.put([job], "tocancel")  # for a day
    tower.once("status")
    wait(tower, 3 * DAY, answering=False)
    wait(tower, 4.9 * DAY, answering=False)
    assert tower.get(job).state == "tocancel"
    wait(tower, 0.2 * DAY, answering=False)
    assert (tower.get(job).state, tower.events(job)[-1]) == ("lost", "silent")


def test_a_ce_with_nothing_to_poll_that_does_not_answer_is_silent(tower: Tower, job: int) -> None:
    """Only attempts that wait for a kill are left there: the CE is asked all the same."""
    tower.put([job], "tocancel")
    tower.sites[0].fails("*", unreachable(), times=999)
    for _ in range(6):
        tower.pass_time(DAY)
        tower.once("status", "reconciler")
    assert tower.get(job).state == "tocancel"


def test_a_ce_that_speaks_again_gets_time_to_do_what_it_was_asked(tower: Tower, job: int) -> None:
    tower.put([job], "tocancel")
    tower.sites[0].fails("*", unreachable(), times=999)
    for _ in range(4):
        tower.pass_time(DAY)
        tower.once("status", "reconciler")
    tower.sites[0].heal()
    tower.pass_time(HOUR)
    tower.once("status", "reconciler", "canceller")
    assert tower.get(job).state == "cancelling"


def test_a_deadline_can_be_set_in_the_configuration(new_tower: MakeTower) -> None:
    tower = new_tower(extra='<deadlines><deadline state="tosubmit" seconds="60"/></deadlines>')
    (job,) = tower.submit()
    wait(tower, 61)
    assert (tower.get(job).state, tower.events(job)[-1]) == ("cancelled", "expired")


def test_a_row_that_somebody_works_on_is_not_overdue(tower: Tower, job: int) -> None:
    tower.put([job], "finished", claimed_by="fetcher", claimed_until=1e12)
    wait(tower, 2 * DAY)
    assert tower.get(job).state == "finished"


def test_without_anybody_s_help_every_attempt_comes_to_an_end(tower: Tower, job: int) -> None:
    ids = {state: tower.at_ce(1, state, place=tower.places[0], proxy_id=tower.proxy_id)[0] for state in (
        "submitting", "running", "torerun", "finished", "tofetch", "failed", "done", "lost")}  # fmt: skip
    tower.db.run("t", lambda c: c.execute(update(lanes).values(polled=None)))
    tower.sites[0].fails("*", unreachable(), times=9999)
    for _ in range(12):
        tower.pass_time(10 * DAY)
        tower.once("reconciler")
    assert set(tower.states([*ids.values(), job])) == {"archived"}


def test_a_wish_that_was_noted_is_carried_on_by_the_reconciler(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("create", unreachable(), "after")
    tower.once("submitter")
    tower.db.run("t", lambda c: cejobs.wish(c, [job], Event.CANCEL, who="application", why=""))
    tower.pass_time(700)
    tower.once("reconciler")
    assert tower.get(job).state == "tocancel"
    tower.once("canceller")
    tower.sites[0].tick()
    tower.settle(4)
    assert (tower.get(job).state, sum(tower.runs())) == ("cancelled", 0)
