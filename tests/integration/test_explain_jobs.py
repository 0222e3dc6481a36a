"""`actctl explain` tells the truth of PanDA jobs: what it says is in the way is in the way, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import Connection

from act.db import cejobs
from act.db.moves import Move
from act.states import DEADLINES, Event
from act_atlas import db
from act_atlas.db.outputs import CHECK, Found, LeftBehind, NewOutput
from act_atlas.states import DEADLINES as JOB_DEADLINES
from tests.integration.beats import ARC_DAEMONS, PANDA_DAEMONS, beat, pass_time
from tests.integration.panda_tower import PandaTower
from tests.truth import assert_all_explained, assert_explained, reasons


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
