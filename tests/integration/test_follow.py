"""What CEs say of jobs, and what the tower makes of it: only evidence counts, and silence is none."""

from __future__ import annotations

import pytest

from act.db import cejobs
from act.errors import CEBroken, CredentialError, OutputMissing
from act.states import Event
from act.storage import result_name
from tests.fakes import unreachable
from tests.integration.conftest import MakeTower
from tests.tower import Tower


@pytest.fixture
def job(tower: Tower) -> int:
    """An attempt that has been armed."""
    (job,) = tower.submit()
    tower.once("submitter")
    return job


def poll(tower: Tower) -> None:
    """A status poll when it is time for one."""
    tower.pass_time(100)
    tower.once("status")


def say(tower: Tower, job: int, state: str, **more: object) -> None:
    """The CE says this of the job at the next poll."""
    there = tower.sites[0].jobs[tower.get(job).ce_job_id]
    there.state = state
    for name, value in more.items():
        setattr(there, name, value)
    poll(tower)


def wish(tower: Tower, job: int, event: str) -> None:
    tower.db.run("t", lambda c: cejobs.wish(c, [job], event, who="application", why="test"))


# -- status ------------------------------------------------------------------------------------------------------------


def test_a_job_is_followed_through_all_its_phases(tower: Tower, job: int) -> None:
    for said, state in (
        ("queued", "submitted"), ("held", "holding"), ("running", "running"), ("finishing", "finishing"),
        ("finished", "finished"),
    ):  # fmt: skip
        say(tower, job, said)
        assert (tower.get(job).state, tower.get(job).ce_state) == (state, said.upper())


def test_a_poll_that_says_the_same_writes_nothing(tower: Tower, job: int) -> None:
    say(tower, job, "running")
    version, events = tower.get(job).version, tower.events(job)
    poll(tower)
    assert (tower.get(job).version, tower.events(job)) == (version, events)


def test_what_the_ce_knows_of_a_failure_is_kept(tower: Tower, job: int) -> None:
    say(tower, job, "failed", exit_code=65, error="payload failed")
    row = tower.get(job)
    assert (row.state, row.exit_code, row.error) == ("failed", 65, "payload failed")


@pytest.mark.parametrize("error", [unreachable(), CEBroken("half an answer"), CredentialError("expired")])
def test_silence_and_nonsense_change_nothing(tower: Tower, job: int, error: Exception) -> None:
    version = tower.get(job).version
    tower.sites[0].fails("status", error, times=99)  # type: ignore[arg-type]
    for _ in range(5):
        poll(tower)
    assert tower.get(job).version == version


def test_a_job_that_two_complete_answers_do_not_know_is_gone(tower: Tower, job: int) -> None:
    tower.sites[0].jobs.clear()
    poll(tower)
    assert tower.get(job).state == "submitted"
    poll(tower)
    assert (tower.get(job).state, tower.events(job)[-1]) == ("cancelled", "gone")


def test_two_answers_in_quick_succession_are_one(tower: Tower, job: int) -> None:
    tower.sites[0].jobs.clear()
    poll(tower)
    tower.pass_time(31)  # time for a poll, less than what must lie between the two answers
    tower.once("status")
    assert tower.get(job).state == "submitted"


def test_a_job_that_comes_back_was_never_missing(tower: Tower, job: int) -> None:
    there = dict(tower.sites[0].jobs)
    tower.sites[0].jobs.clear()
    poll(tower)
    tower.sites[0].jobs.update(there)
    poll(tower)
    assert tower.get(job).missing_at is None
    tower.sites[0].jobs.clear()
    poll(tower)
    assert tower.get(job).state == "submitted"


def test_a_job_that_ended_unarmed_waits_for_a_ce_again_and_runs_once(tower: Tower, job: int) -> None:
    say(tower, job, "timeout")
    assert (tower.get(job).state, tower.is_open(job)) == ("tosubmit", [True])
    tower.settle(kinds=("submitter", "status", "reconciler"), until=[job])
    assert sum(tower.runs()) == 1


def test_failed_staging_is_repeated_as_often_as_allowed_and_then_failed(new_tower: MakeTower) -> None:
    tower = new_tower()
    (job,) = tower.submit()
    tower.once("submitter")
    tower.put([job], "submitted", reruns=1)
    say(tower, job, "stagefailed", error="cannot get input")
    tower.once("canceller")
    assert tower.get(job).state == "torerun"  # not at once: what made it fail may take a while to go away
    tower.pass_time(61)
    tower.once("canceller")
    assert (tower.get(job).state, tower.get(job).reruns) == ("submitted", 0)
    say(tower, job, "stagefailed", error="cannot get input")
    assert tower.get(job).state == "submitted"  # what the CE tells may be from before the restart
    tower.pass_time(61)
    say(tower, job, "stagefailed", error="cannot get input")
    assert tower.get(job).state == "failed"


def test_a_restart_that_the_ce_refuses_means_failed(tower: Tower, job: int) -> None:
    tower.put([job], "torerun")
    tower.pass_time(61)
    tower.once("canceller")
    assert (tower.get(job).state, tower.events(job)[-1]) == ("failed", "failed")


# -- canceller ---------------------------------------------------------------------------------------------------------


def test_a_job_is_cancelled_when_the_ce_says_so_and_not_before(tower: Tower, job: int) -> None:
    wish(tower, job, Event.CANCEL)
    tower.once("canceller")
    assert tower.get(job).state == "cancelling"
    poll(tower)
    assert tower.get(job).state == "cancelling"
    tower.sites[0].tick()
    poll(tower)
    assert tower.get(job).state == "cancelled"


def test_a_job_that_ends_before_the_kill_arrives_has_ended(tower: Tower, job: int) -> None:
    wish(tower, job, Event.CANCEL)
    tower.once("canceller")
    say(tower, job, "finished", exit_code=0)
    assert tower.get(job).state == "finished"


def test_a_kill_is_repeated_until_the_ce_takes_it(tower: Tower, job: int) -> None:
    wish(tower, job, Event.CANCEL)
    tower.sites[0].fails("kill", unreachable(), times=2)
    for _ in range(4):
        tower.once("canceller")
        tower.pass_time(60)
    assert tower.get(job).state == "cancelling"


# -- fetcher -----------------------------------------------------------------------------------------------------------


def test_files_are_in_the_store_and_what_is_not_there_is_noted(tower: Tower, job: int) -> None:
    tower.sites[0].files["out.txt"] = b"result"
    say(tower, job, "finished")
    tower.once("fetcher")
    assert tower.get(job).state == "done"
    store = tower.daemon("fetcher").context.store
    assert store.read(result_name(job, "out.txt")) == b"result"
    with pytest.raises(OutputMissing):
        store.read(result_name(job, "diagnose=errors"))
    history = tower.db.read("t", lambda c: cejobs.history(c, "cejob", [job]))
    assert "diagnose=errors" in history[-1].why


def test_a_file_that_is_too_large_is_noted_and_leaves_nothing_in_the_store(new_tower: MakeTower) -> None:
    tower = new_tower(extra="<polling><fetch_max_mb>1</fetch_max_mb></polling>")
    (job,) = tower.submit()
    tower.once("submitter")
    tower.sites[0].files |= {"out.txt": bytes(1_000_000), "diagnose=errors": bytes(1_000_001)}
    say(tower, job, "finished")
    tower.once("fetcher")
    history = tower.db.read("t", lambda c: cejobs.history(c, "cejob", [job]))
    why = "diagnose=errors is larger than 1 MB (polling/fetch_max_mb)"
    assert (tower.get(job).state, history[-1].why) == ("done", why)
    store = tower.daemon("fetcher").context.store
    assert (len(store.read(result_name(job, "out.txt"))), store.list()) == (1_000_000, [result_name(job, "out.txt")])
    assert not [path for path in (tower.directory / "store").rglob("*") if "errors" in path.name]


def test_files_of_a_failed_job_are_fetched_when_asked_for(tower: Tower, job: int) -> None:
    tower.sites[0].files["diagnose=errors"] = b"why"
    say(tower, job, "failed")
    tower.once("fetcher")
    assert tower.get(job).state == "failed"
    wish(tower, job, Event.FETCH)
    tower.once("fetcher")
    assert tower.get(job).state == "donefailed"


def test_files_that_cannot_be_had_now_are_fetched_later(tower: Tower, job: int) -> None:
    tower.sites[0].files["out.txt"] = b"result"
    say(tower, job, "finished")
    tower.sites[0].fails("fetch", unreachable())
    tower.once("fetcher")
    assert (tower.get(job).state, tower.get(job).claimed_by) == ("finished", None)
    tower.once("fetcher")
    assert tower.get(job).state == "done"


def test_one_job_s_trouble_in_a_batch_does_not_undo_the_others(tower: Tower) -> None:
    ids = tower.submit(3)
    tower.once("submitter")
    for job in ids:
        tower.sites[0].jobs[tower.get(job).ce_job_id].state = "finished"
    poll(tower)
    second = tower.get(ids[1]).ce_job_id
    tower.sites[0].fails("fetch", unreachable(), when=lambda ce_job_id, _: ce_job_id == second)
    tower.once("fetcher")
    assert tower.states(ids) == ["done", "finished", "finished"]
    tower.once("fetcher")
    assert tower.states(ids) == ["done"] * 3


def test_files_of_a_job_that_the_ce_lost_are_not_waited_for(tower: Tower, job: int) -> None:
    say(tower, job, "finished")
    tower.sites[0].jobs.clear()
    tower.once("fetcher")
    assert (tower.get(job).state, tower.events(job)[-1]) == ("donefailed", "unfetched")


# -- cleaner -----------------------------------------------------------------------------------------------------------


def test_a_cleaned_job_is_gone_from_the_ce_and_from_the_store(tower: Tower, job: int) -> None:
    tower.sites[0].files["out.txt"] = b"result"
    say(tower, job, "finished")
    tower.once("fetcher")
    wish(tower, job, Event.CLEAN)
    tower.once("cleaner")
    assert (tower.get(job).state, tower.sites[0].jobs) == ("archived", {})
    with pytest.raises(OutputMissing):
        tower.daemon("cleaner").context.store.read(result_name(job, "out.txt"))


def test_cleaning_is_repeated_until_the_ce_has_ended_the_job(tower: Tower, job: int) -> None:
    """Such as a job that was given up as lost and still runs."""
    tower.put([job], "toclean")
    tower.once("cleaner")
    assert tower.get(job).state == "toclean"
    tower.sites[0].tick()
    tower.pass_time(60)
    tower.once("cleaner")
    assert (tower.get(job).state, tower.sites[0].jobs) == ("archived", {})


def test_an_attempt_that_never_was_at_a_ce_needs_none_to_be_cleaned(tower: Tower) -> None:
    (job,) = tower.submit()
    wish(tower, job, Event.CANCEL)
    wish(tower, job, Event.CLEAN)
    tower.once("cleaner")
    assert (tower.get(job).state, sum(tower.sites[0].calls.values())) == ("archived", 0)


def test_a_ce_that_fails_to_clean_is_asked_again(tower: Tower, job: int) -> None:
    say(tower, job, "finished")
    wish(tower, job, Event.CLEAN)
    tower.sites[0].fails("clean", CEBroken("500"))
    tower.once("cleaner")
    assert tower.get(job).state == "toclean"
    tower.pass_time(60)
    tower.once("cleaner")
    assert tower.get(job).state == "archived"
