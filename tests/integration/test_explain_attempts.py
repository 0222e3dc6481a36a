"""`actctl explain` tells the truth of attempts: what it says is in the way is in the way, and nothing else."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import Connection

from act.config import CoreConfig
from act.db import cejobs, meta, situation
from act.db.engine import NOW, Database
from act.errors import CEFull, CredentialError
from act.explain import ask
from act.explain.moment import Moment
from act.explain.story import Story
from act.states import Event
from tests import truth
from tests.fakes import unreachable
from tests.integration.beats import FAKE_DAEMONS, beat
from tests.integration.conftest import MakeTower
from tests.kit import Rows
from tests.tower import TEMPLATE, Tower
from tests.truth import assert_explained, reasons, turns


def story(tower: Tower, attempt: int, contains: str = "", *, running: bool = True) -> truth.Story:
    """What is told of an attempt while all daemons run."""
    if running:
        beat(tower, *FAKE_DAEMONS)
    return assert_explained(tower.environment, attempt, contains, attempt=True)


# -- what keeps an attempt from its CE ---------------------------------------------------------------------------------


def test_an_attempt_that_nothing_holds_is_submitted_with_the_next_pass(tower: Tower) -> None:
    (job,) = tower.submit()
    told = story(tower, job, "submitter-fake chooses a CE queue")
    assert reasons(told) == set()
    tower.once("submitter")
    assert tower.get(job).state == "submitted"


def test_an_open_breaker_is_told_with_its_error_and_when_the_ce_is_tried_again(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("*", unreachable(sent=False), times=99)
    for _ in range(3):
        tower.once("submitter")
    told = story(tower, job, "after 3 failures in a row, the last")
    assert reasons(told) == {"breaker"}
    (hold,) = told["holds"]
    assert hold["text"].endswith(": no answer")
    assert 0 < hold["until"] - told["now"] <= 30
    assert tower.once("submitter") == 0


def test_a_breaker_of_a_host_without_a_submitter_holds_nothing(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("*", unreachable(sent=False), times=99)
    for _ in range(3):
        tower.once("submitter")
    beat(tower, "submitter-fake", host="elsewhere")
    assert reasons(story(tower, job, running=False)) == set()
    beat(tower, "submitter-fake")
    assert reasons(story(tower, job, running=False)) == set()  # elsewhere it may still go


def test_a_full_ce_queue_is_told_with_its_numbers(new_tower: MakeTower) -> None:
    tower = new_tower(extra="<limits><max_waiting>2</max_waiting></limits>")
    first, second, third = tower.submit(3)
    assert reasons(story(tower, second)) == set()
    assert reasons(story(tower, third, "has room for 2, and 2 attempts of the same share come first")) == {"limit"}
    tower.once("submitter")
    assert tower.states([first, second, third]) == ["submitted", "submitted", "tosubmit"]
    told = story(tower, third, "2 waiting of at most 2, 2 in all of at most 20000")
    assert reasons(told) == {"limit"}
    assert tower.once("submitter") == 0
    tower.sites[0].tick()
    tower.pass_time(60)
    tower.once("status")
    assert reasons(story(tower, third)) == set()
    tower.once("submitter")
    assert tower.get(third).state == "submitted"


def test_what_the_operator_says_of_one_ce_wins_over_the_general_limits(new_tower: MakeTower) -> None:
    ce = '<ces><ce url="https://ce1.example.org/arex"><max_jobs>1</max_jobs></ce></ces>'
    tower = new_tower(extra=ce)
    _, second = tower.submit(2)
    tower.once("submitter")
    assert reasons(story(tower, second, "1 in all of at most 1")) == {"limit"}


def test_a_ce_that_says_it_is_full_is_told_with_the_time_it_is_asked_again(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("create", CEFull("no more jobs allowed"))
    tower.once("submitter")
    assert reasons(story(tower, job, "ce1.example.org/arex is asked again")) == {"full"}
    assert tower.once("submitter") == 0


def test_a_ce_that_is_offline_in_the_configuration_is_told_so(new_tower: MakeTower) -> None:
    ce = '<ces><ce url="https://ce1.example.org/arex"><status>offline</status></ce></ces>'
    tower = new_tower(extra=ce)
    (job,) = tower.submit()
    assert reasons(story(tower, job, "offline in the configuration")) == {"offline"}
    assert tower.once("submitter") == 0


def test_a_credential_that_the_ce_refuses_is_told_with_what_the_ce_said(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("create", CredentialError("not authorised"))
    tower.once("submitter")
    assert reasons(story(tower, job, "does not take the credential of role 'production': not authorised")) == {
        "credential"
    }
    tower.pass_time(60)
    assert reasons(story(tower, job)) == set()
    tower.once("submitter")
    assert tower.get(job).state == "submitted"


def test_a_proxy_that_has_run_out_is_told(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.proxy(expires=time.time() - 7200)
    assert reasons(story(tower, job, "the proxy of role 'production' ran out 2 h ago")) == {"credential"}
    assert tower.once("submitter") == 0


def test_stopped_submission_is_told_with_its_reason(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.db.run("t", lambda c: meta.stop(c, "this database was restored from a backup"))
    told = story(tower, job, "nothing is submitted: this database was restored from a backup")
    assert reasons(told) == {"stopped"}
    assert tower.once("submitter") == 0
    tower.db.run("t", meta.clone_identity)
    assert reasons(story(tower, job)) == set()


def test_with_two_ces_only_what_holds_at_both_is_in_the_way(new_tower: MakeTower) -> None:
    tower = new_tower(sites=2)
    (job,) = tower.submit(1, tower.places)
    tower.sites[0].fails("*", unreachable(sent=False), times=99)
    for _ in range(3):
        tower.once("submitter")
        tower.put([job], "tosubmit")
    assert reasons(story(tower, job, "https://ce1.example.org/arex queue default: not now (breaker)")) == set()
    tower.sites[1].fails("create", CEFull("no more jobs allowed"))
    tower.once("submitter")
    assert reasons(story(tower, job)) == {"breaker", "full"}


# -- what keeps an attempt at its CE -----------------------------------------------------------------------------------


def test_a_row_that_another_process_works_on_is_told_with_its_holder(tower: Tower) -> None:
    (job,) = tower.at_ce(1, "tocancel", place=tower.places[0], proxy_id=tower.proxy_id)
    holder = "canceller-fake@otherhost:77:beef"
    tower.put([job], "tocancel", claimed_by=holder, claimed_until=NOW + 60)
    assert reasons(story(tower, job, "claimed by canceller-fake on otherhost (process 77)")) == {"lease"}
    assert tower.once("canceller") == 0


def test_a_row_that_rests_after_a_refusal_is_told_until_when(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.once("submitter")
    tower.db.run("t", lambda c: cejobs.wish(c, [job], Event.CANCEL, who="operator", why="enough"))
    tower.put([job], "toclean")  # the CE does not forget a job that has not ended
    tower.once("cleaner")
    told = story(tower, job, "it rests before it is tried again")
    assert reasons(told) == {"rest"}
    assert tower.once("cleaner") == 0


def test_a_job_at_the_ce_is_the_ce_s_turn_and_the_next_poll_is_told(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.once("submitter")
    tower.pass_time(60)
    tower.once("status")
    told = story(tower, job, "https://ce1.example.org/arex runs the job once its inputs are there")
    assert reasons(told) == set()
    assert [t["far"] for t in turns(told)] == ["https://ce1.example.org/arex"]
    assert 0 < told["due"][0]["at"] - told["now"] <= 30
    last = next(d for d in told["due"] if d["last"])
    assert 6.9 * 86400 < last["at"] - told["now"] <= 7 * 86400


def test_deadlines_of_a_silent_ce_are_told_as_they_will_be_at_the_latest(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.once("submitter")
    tower.pass_time(60)
    tower.once("status")
    tower.pass_time(3600)
    told = story(tower, job, "no complete answer for 1 h")
    assert reasons(told) == {"silence"}
    last = next(d for d in told["due"] if d["last"])
    assert last["at"] - told["now"] > 13 * 86400


def test_a_row_in_doubt_is_the_reconciler_s_and_says_so(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("create", unreachable())
    tower.once("submitter")
    assert tower.get(job).state == "submitting"
    assert reasons(story(tower, job, "submitter-fake brings it to the CE")) == {"lease"}
    tower.pass_time(700)
    tower.once("reconciler")
    told = story(tower, job, "a complete answer of the CE did not have it; a second one counts")
    assert turns(told)[0]["daemon"] == "reconciler-fake"


def test_a_wish_that_must_wait_is_told(tower: Tower) -> None:
    (job,) = tower.submit()
    tower.sites[0].fails("create", unreachable())
    tower.once("submitter")
    tower.db.run("t", lambda c: cejobs.wish(c, [job], Event.CANCEL, who="operator", why="enough"))
    story(tower, job, "cancel: done as soon as nothing is in doubt")


# -- daemons -----------------------------------------------------------------------------------------------------------


def test_a_daemon_that_does_not_run_is_what_is_in_the_way(tower: Tower) -> None:
    (job,) = tower.submit()
    assert reasons(story(tower, job, "no process of it has ever reported", running=False)) == {"daemon"}
    beat(tower, "submitter-fake")
    assert reasons(story(tower, job, running=False)) == set()
    tower.pass_time(600)
    assert reasons(story(tower, job, "no word from it for 10 min", running=False)) == {"daemon"}


# -- what is read ----------------------------------------------------------------------------------------------------


def test_all_that_is_read_for_a_story_is_of_one_moment(database: Database) -> None:
    rows = Rows(database)
    proxy_id = rows.proxy()

    def read(connection: Connection) -> list[int]:
        before = len(cejobs.of_application(connection, "app", 1))
        rows.attempts(1, [], proxy_id)
        return [before, len(cejobs.of_application(connection, "app", 1))]

    assert database.snapshot("t", read) == [0, 0]
    assert database.read("t", lambda c: len(cejobs.of_application(c, "app", 1))) == 1


def test_facts_are_read_on_every_kind_of_server(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTCONFIGATLAS", str(TEMPLATE))
    rows = Rows(database)
    proxy_id, place = rows.proxy(), rows.place()
    first, second = rows.attempts(2, [place], proxy_id)
    (there,) = rows.at_ce(1, "submitted", place=place, proxy_id=proxy_id)

    def read(connection: Connection) -> list[Story]:
        moment = Moment.read(connection, CoreConfig(), (), None)
        told = [ask.an_attempt(connection, moment, i) for i in (first, second, there)]
        endpoint = ("fake", "https://ce1.example.org/arex", "default")
        told += ask.endpoints(connection, moment, [endpoint], ["fake"])
        assert situation.archived(connection, "panda", "1") is None
        return told + ask.a_ce(connection, moment, "ce1")

    *attempts, endpoint, ce = database.snapshot("t", read)
    assert [s.state for s in attempts] == ["tosubmit", "tosubmit", "submitted"]
    assert "1 of the same share before it" in str(attempts[1].facts)
    assert endpoint.state == "takes jobs"
    assert ("jobs", "1 submitted; 2 attempts may come here") in ce.facts
