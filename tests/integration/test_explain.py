"""`actctl explain` tells the truth: what it says is in the way is in the way, and nothing else."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection

from act.cli.actctl import main
from act.config import CoreConfig
from act.db import cejobs, meta, situation
from act.db.engine import NOW, Database
from act.db.moves import Move
from act.errors import CEFull, CredentialError
from act.explain import ask
from act.explain.moment import Moment
from act.explain.story import Story
from act.states import DEADLINES, Event
from act_atlas import db
from act_atlas.db.outputs import CHECK, Found, LeftBehind, NewOutput
from act_atlas.states import DEADLINES as JOB_DEADLINES
from tests import truth
from tests.fakes import unreachable
from tests.integration.conftest import MakeTower
from tests.integration.panda_tower import QUEUE, PandaTower
from tests.kit import Rows
from tests.tower import TEMPLATE, Tower
from tests.truth import assert_all_explained, assert_explained, explain, reasons, turns, words

PANDA_DAEMONS = ("getjob", "panda2arc", "pandastatus", "heartbeat", "archiver", "validator", "cric")
ARC_DAEMONS = ("submitter-arc", "reconciler-arc", "status-arc", "fetcher-arc", "canceller-arc", "cleaner-arc")
FAKE_DAEMONS = tuple(name.replace("arc", "fake") for name in ARC_DAEMONS)


def beat(rows: Rows, *daemons: str, host: str = "") -> None:
    """As if these ran, and had just said so."""
    for name in daemons:
        rows.db.run("t", lambda c, n=name: meta.report(c, host or socket.gethostname(), n, 1))


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


# -- jobs of PanDA -----------------------------------------------------------------------------------------------------


@pytest.fixture
def running(panda_tower: PandaTower) -> PandaTower:
    """A tower all of whose daemons run."""
    beat(panda_tower, *PANDA_DAEMONS, *ARC_DAEMONS)
    return panda_tower


def pass_time(tower: PandaTower, seconds: float) -> None:
    """The daemons run on meanwhile."""
    tower.pass_time(seconds)
    beat(tower, *PANDA_DAEMONS, *ARC_DAEMONS)


def test_every_step_of_a_job_is_explained(running: PandaTower) -> None:
    pandaid = running.taken()
    env = running.environment
    assert_explained(env, pandaid, ["panda2arc makes an attempt", "PanDA handed it over"])
    running.once("panda2arc", "heartbeat")
    assert_explained(env, pandaid, ["submitter-arc chooses a CE queue", "was told 'starting'"])
    running.once("submitter-arc")
    assert_explained(env, pandaid, "the CE may run it")
    for state in ("running", "finished"):
        running.say(pandaid, state)
        beat(running, *PANDA_DAEMONS, *ARC_DAEMONS)
        assert reasons(assert_explained(env, pandaid)) <= {"rest"}
    assert_explained(env, pandaid, "the pilot has some time to tell PanDA the end itself")
    pass_time(running, 301)
    running.once("heartbeat")
    assert_explained(env, pandaid, ["cleaner-arc makes the CE forget the job", "archiver puts it into the archive"])
    pass_time(running, 3600)
    running.once("cleaner-arc", "archiver")
    assert_explained(env, pandaid, ["in the archive", "nothing of it is left at the CE", "PanDA handed it over"])


def test_a_report_that_panda_does_not_take_is_told_with_the_next_try(running: PandaTower) -> None:
    pandaid = running.submitted()
    running.say(pandaid, "failed", error="node died")
    running.panda.faults.add({"path": "update_jobs_bulk", "action": "error-before", "status": 503, "times": 1})
    with pytest.raises(Exception, match="503"):
        running.once("heartbeat")
    beat(running, *PANDA_DAEMONS, *ARC_DAEMONS)
    told = assert_explained(running.environment, pandaid, ["PanDA has not acknowledged the end", "node died"])
    assert told["state"] == "failed" and "silence" in reasons(told)
    assert 0 < told["due"][0]["at"] - told["now"] <= 60


def test_a_job_whose_credential_is_missing_is_told_so(running: PandaTower) -> None:
    pandaid = running.taken()
    running.db.run("t", lambda c: c.exec_driver_sql("DELETE FROM proxies"))
    told = assert_explained(running.environment, pandaid, "there is no proxy of role 'production' yet")
    assert reasons(told) == {"credential"}


def test_a_setting_that_is_missing_for_a_job_is_told(running: PandaTower) -> None:
    path = Path(running.environment["ACTCONFIGATLAS"])
    path.write_text(re.sub("<executable>.*</executable>", "", path.read_text(), flags=re.DOTALL))
    pandaid = running.taken()
    told = assert_explained(running.environment, pandaid, "wrapperurl")
    assert reasons(told) == {"settings"}
    assert running.once("panda2arc") == 0


def test_outputs_that_wait_for_their_storage_are_told_with_what_it_said(running: PandaTower) -> None:
    pandaid = running.submitted()
    row = running.job(pandaid)
    url = "davs://se.example.org/out.root"
    file = NewOutput("out.root", url, "se.example.org", 5)

    def write(connection: Connection) -> None:
        connection.execute(db.pandajobs.update().values(state="tovalidate", truepilot=False))
        db.outputs.store_reports(connection, [LeftBehind(row.id, None, "", [file], CHECK)])

    running.db.run("t", write)
    told = assert_explained(running.environment, pandaid, ["validator looks at its outputs", "1 to check"])
    assert reasons(told) == set()
    (output,) = running.db.read("t", lambda c: db.outputs.of_jobs(c, [row.id]))[row.id]
    silent = Found(output.id, None, "the storage gave no answer", CHECK, 30)
    running.db.run("t", lambda c: db.outputs.write(c, CHECK, [silent]))
    told = assert_explained(running.environment, pandaid, "se.example.org has been asked to check out.root")
    assert reasons(told) == {"silence"}
    assert 0 < told["due"][0]["at"] - told["now"] <= 30


def test_a_heartbeat_that_is_late_is_told(running: PandaTower) -> None:
    pandaid = running.submitted()
    running.pass_time(2400)
    assert_explained(
        running.environment, pandaid, "PanDA should have heard of it 10 min ago; heartbeat: no word from it"
    )


def test_a_lost_job_is_told_as_such(running: PandaTower) -> None:
    pandaid = running.submitted()
    attempt = running.job(pandaid).cejob_id
    move = Move(attempt, "submitted", Event.SILENT, "no word in 7 days")
    running.db.run("t", lambda c: cejobs.move(c, [move], who="reconciler"))
    assert_explained(running.environment, pandaid, ["pandastatus carries over", "lost: given up: no word from the CE"])
    running.once("pandastatus")
    assert_explained(running.environment, pandaid, "error 9001: the CE gave no word of the job for too long")


def test_a_killed_job_is_told_as_wanted_to_end(running: PandaTower) -> None:
    pandaid = running.submitted()
    running.panda.board.kill(pandaid)
    pass_time(running, 1801)
    running.once("heartbeat")
    assert_explained(
        running.environment, pandaid, ["canceller-arc tells the CE to end the job", "PanDA says tobekilled"]
    )


def test_an_attempt_is_explained_with_its_job(running: PandaTower) -> None:
    pandaid = running.submitted()
    number = running.job(pandaid).cejob_id
    told = assert_explained(running.environment, number)
    assert told["title"].startswith(f"PanDA job {pandaid} ")
    assert [p["title"] for p in told["parts"]] == [f"attempt {number}"]


def test_what_is_in_the_database_at_any_time_is_explained(running: PandaTower) -> None:
    for _ in range(3):
        running.submitted()
    running.taken()
    assert assert_all_explained(running.environment) == 4


def test_in_each_state_of_a_job_somebody_is_named(running: PandaTower) -> None:
    pandaid = running.submitted()
    for state in JOB_DEADLINES:
        running.db.run("t", lambda c, s=state: c.execute(db.pandajobs.update().values(state=s)))
        assert_explained(running.environment, pandaid)


def test_in_each_state_of_an_attempt_somebody_is_named(running: PandaTower) -> None:
    pandaid = running.submitted()
    for state in DEADLINES:
        running.put([running.job(pandaid).cejob_id], state)
        assert_explained(running.environment, pandaid)


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


# -- CEs and queues ----------------------------------------------------------------------------------------------------


def test_a_ce_is_explained_by_its_url_and_by_part_of_it(running: PandaTower) -> None:
    running.submitted()
    pass_time(running, 60)
    running.once("status-arc")
    url = running.site.url
    for named in ((url,), ("--ce", url), ("--ce", "ce1.example")):
        (told,) = explain(running.environment, *named)
        assert (told["title"], told["state"]) == (f"CE {url}", "well")
    text = words(running.environment, url)
    assert re.search(r"last complete answer \d s ago", text)
    assert "default: 1 waiting of at most 500, 1 in all of at most 20000" in text
    assert "1 submitted; nothing waits to come here" in text


def test_a_queue_is_explained_with_its_ces_and_why_it_gets_jobs_or_not(running: PandaTower) -> None:
    env = running.environment
    (told,) = explain(env, "--queue", QUEUE)
    assert (told["state"], reasons(told)) == ("jobs are asked for", set())
    running.order(30)
    running.once("getjob")
    (told,) = explain(env, "--queue", QUEUE)
    assert reasons(told) == {"limit"}
    assert "20 wait of at most 20 (panda/minjobs" in words(env, "--queue", QUEUE)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"status": "offline"}, "its status is 'offline'"),
        ({"state": "INACTIVE"}, "its state in CRIC is INACTIVE"),
        ({"pilot_manager": "Harvester"}, "its pilot_manager is Harvester"),
        ({"workflow": "pull_ups"}, "it is not a push queue"),
        ({"queues": []}, "none is active"),
    ],
)
def test_why_a_queue_gets_no_jobs_is_told(running: PandaTower, changes: dict[str, object], why: str) -> None:
    running.panda.board.cric[QUEUE] |= changes
    running.panda.board.cric["ANOTHER"] = {**running.panda.board.cric[QUEUE], "state": "ACTIVE", "pilot_manager": "aCT"}
    running.once("cric")
    (told,) = explain(running.environment, "--queue", QUEUE)
    assert (told["state"], reasons(told)) == ("no jobs are asked for", {"settings"})
    assert why in words(running.environment, "--queue", QUEUE)
    running.order(3)
    running.once("getjob")
    assert running.db.read("t", db.waiting_and_running) == {}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["123456"], "no job and no attempt 123456"),
        (["--queue", "NOWHERE"], "no queue 'NOWHERE' is known here"),
        (["--ce", "https://nowhere.example.org"], "no CE 'https://nowhere.example.org' is known here"),
        (["word"], "neither a number nor a URL; for a queue say --queue word"),
        ([], "name one thing"),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(running: PandaTower, arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(main, ["explain", *arguments], env=running.environment)
    assert result.exit_code != 0
    assert told in result.output
