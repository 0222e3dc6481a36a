"""From PanDA to a CE and back: what each daemon promises about a PanDA job."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import select

from act import faults
from act.daemons.runner import Runner
from act.db import cejobs, meta, specs
from act.db.schema import archive
from act.errors import DatabaseBusy, SourceUnreachable
from act.states import Event
from act_atlas import db
from act_atlas.daemons.getjob import GetJob
from act_atlas.joblog import joblog_name
from tests.integration.panda_tower import QUEUE, PandaTower
from tests.power import Crash, Power


def count(tower: PandaTower, name: str) -> int:
    query = select(meta.meta.c.value).where(meta.meta.c.name == name)
    return int(tower.db.read("t", lambda c: c.execute(query).scalar()) or 0)


def reported(tower: PandaTower, pandaid: int) -> dict[str, int]:
    """Which updates PanDA got from anybody."""
    found: dict[str, int] = tower.panda.board.describe([pandaid])[pandaid]["updates"]
    return found


# -- getjob ------------------------------------------------------------------------------------------------------------


def test_jobs_are_taken_up_to_what_the_queue_may_have_waiting(panda_tower: PandaTower) -> None:
    panda_tower.order(50)
    panda_tower.once("getjob")
    panda_tower.once("getjob")
    assert panda_tower.db.read("t", db.waiting_and_running) == {QUEUE: (20, 0)}


def test_an_answer_that_is_lost_is_counted_and_its_jobs_never_run(panda_tower: PandaTower) -> None:
    (lost,) = panda_tower.order()
    panda_tower.panda.faults.add({"path": "acquire_jobs", "action": "cut-after", "times": 1})
    with pytest.raises(SourceUnreachable):
        panda_tower.once("getjob")
    assert count(panda_tower, "lost_answers") == 1
    assert panda_tower.known(lost) == "sent"
    panda_tower.pass_time(31 * 60)
    panda_tower.once("getjob", "panda2arc", "submitter-arc")
    assert panda_tower.known(lost) == "failed"
    assert panda_tower.db.read("t", lambda c: db.find(c, lost)) is None
    assert panda_tower.site.jobs == {}


@pytest.mark.parametrize("phase", ["before", "after"])
def test_an_answer_that_was_not_yet_in_the_database_when_the_tower_died_is_taken_up(
    panda_tower: PandaTower, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    (pandaid,) = panda_tower.order()
    power = Power()

    def hit(point: str, at: str, error: object = None) -> None:
        if (point, at) == ("tx.intake", phase):
            power.cut_at(0)
        power.hit(point, at)

    monkeypatch.setattr(faults, "hit", hit)
    with pytest.raises(Crash):
        panda_tower.once("getjob")
    monkeypatch.undo()
    for variable, value in panda_tower.environment.items():
        monkeypatch.setenv(variable, value)
    panda_tower.once("getjob")
    assert panda_tower.job(pandaid).state == "sent"
    assert panda_tower._context.store.list(f"intake/{QUEUE}") == []


def test_an_answer_that_neither_store_nor_database_take_is_not_lost_while_the_daemon_lives(
    panda_tower: PandaTower, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pandaid,) = panda_tower.order()
    monkeypatch.setenv("ACT_FAULT", "store.commit:before:fail tx.intake:before:fail")
    with closing(GetJob(panda_tower._context, "getjob")) as daemon:
        runner = Runner(daemon, threads=2, lane_deadline_s=60)
        with pytest.raises(DatabaseBusy):
            runner.once()
        assert panda_tower.db.read("t", lambda c: db.find(c, pandaid)) is None
        runner.once()
    assert panda_tower.job(pandaid).state == "sent"


def test_a_job_that_is_handed_over_twice_is_there_once(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.taken()
    panda_tower.panda.board._jobs.pop(pandaid)
    panda_tower.order(pandaid=pandaid)
    panda_tower.once("getjob", "getjob")
    assert panda_tower.db.read("t", db.waiting_and_running) == {QUEUE: (1, 0)}


def test_a_job_that_makes_no_sense_is_reported_failed(panda_tower: PandaTower) -> None:
    bad = panda_tower.taken(fields={"coreCount": "many"})
    good = panda_tower.taken()
    panda_tower.once("panda2arc", "heartbeat")
    assert panda_tower.known(good) == "starting"
    assert panda_tower.job(bad).state in ("failed", "donefailed")
    panda_tower.pass_time(120)
    panda_tower.once("heartbeat")
    assert panda_tower.known(bad) in ("holding", "failed")
    assert panda_tower.job(bad).state == "donefailed"


@pytest.mark.parametrize("fields", [
    {"attemptNr": None}, {"coreCount": -4}, {"minRamCount": 10**15}, {"maxWalltime": "soon"}, {"jobPars": None},
    {"prodSourceLabel": "x" * 5000}, {"currentPriority": 10**30},
])  # fmt: skip
def test_absurd_fields_hurt_only_their_own_job(panda_tower: PandaTower, fields: dict[str, object]) -> None:
    odd = panda_tower.order(fields=fields)
    good = panda_tower.order()
    panda_tower.once("getjob", "panda2arc", "heartbeat")
    assert panda_tower.known(good[0]) == "starting"
    assert panda_tower.job(odd[0]).state in ("starting", "failed", "donefailed")


# -- heartbeats --------------------------------------------------------------------------------------------------------


def test_panda_hears_of_a_job_until_it_runs_and_from_then_on_from_the_pilot(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    assert panda_tower.known(pandaid) == "starting"
    for _ in range(3):
        panda_tower.pass_time(1801)
        panda_tower.once("heartbeat")
    before = reported(panda_tower, pandaid)
    assert before["starting"] >= 3
    panda_tower.say(pandaid, "running")
    panda_tower.once("heartbeat")
    panda_tower.pass_time(3 * 1801)
    panda_tower.once("heartbeat")
    assert panda_tower.job(pandaid).state == "running"
    assert reported(panda_tower, pandaid) == before


def test_an_update_that_panda_did_not_take_is_sent_again(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.taken()
    panda_tower.once("panda2arc")
    panda_tower.panda.faults.add({"path": "update_jobs_bulk", "action": "error-before", "status": 503, "times": 1})
    with pytest.raises(SourceUnreachable):
        panda_tower.once("heartbeat")
    panda_tower.once("heartbeat")
    assert panda_tower.known(pandaid) == "sent"  # not at once
    panda_tower.pass_time(61)
    panda_tower.once("heartbeat")
    assert panda_tower.known(pandaid) == "starting"


def test_after_an_outage_the_longest_overdue_is_told_first(panda_tower: PandaTower) -> None:
    panda_tower.order(6)
    panda_tower.once("getjob")
    order = [4, 2, 6, 1, 5, 3]
    rows = panda_tower.db.read("t", lambda c: db.listing(c))

    def late(connection: object) -> None:
        for row, n in zip(rows, order, strict=True):
            db.set_values(connection, [row.id], due=row.created - 1000 * n)  # type: ignore[arg-type]

    panda_tower.db.run("t", late)
    told = [r.id for _ in range(3) for r in panda_tower.db.run("t", lambda c: db.take_due(c, limit=2, again_s=60))]
    assert told == [row.id for _, row in sorted(zip(order, rows, strict=True), key=lambda p: -p[0])]


# -- ends --------------------------------------------------------------------------------------------------------------


def test_a_job_whose_pilot_reported_its_end_is_not_reported_again(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    panda_tower.site.files["out.txt"] = b"log"
    panda_tower.say(pandaid, "running")
    panda_tower.panda.board.update(pandaid, "failed", {"attempt_nr": 1}, "pilot")
    panda_tower.say(pandaid, "finished", exit_code=0)
    before = reported(panda_tower, pandaid)
    panda_tower.once("heartbeat")
    assert panda_tower.job(pandaid).state == "done"
    assert reported(panda_tower, pandaid) == before


def test_a_pilot_that_ended_well_without_a_word_gets_time_and_then_the_tower_speaks(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    panda_tower.say(pandaid, "running")
    panda_tower.panda.board.update(pandaid, "running", {"attempt_nr": 1}, "pilot")
    panda_tower.say(pandaid, "finished", exit_code=0)
    panda_tower.once("heartbeat")
    assert (panda_tower.job(pandaid).state, panda_tower.known(pandaid)) == ("finished", "running")
    panda_tower.pass_time(301)
    panda_tower.once("heartbeat")
    assert (panda_tower.job(pandaid).state, panda_tower.known(pandaid)) == ("done", "holding")
    assert panda_tower.panda.board.describe([pandaid])[pandaid]["reported"]["status"] == "failed"


def test_a_job_that_failed_at_the_ce_is_reported_with_what_the_ce_said(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    panda_tower.say(pandaid, "failed", error="node died", exit_code=137)
    panda_tower.once("heartbeat")
    values = panda_tower.panda.board.describe([pandaid])[pandaid]["values"]
    assert panda_tower.job(pandaid).state == "donefailed"
    assert "node died" in str(values) and "9000" in str(values)


def test_a_final_report_is_repeated_until_it_is_acknowledged(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    panda_tower.say(pandaid, "failed", error="node died")
    panda_tower.panda.faults.add({"path": "update_jobs_bulk", "action": "cut-after", "times": 1})
    with pytest.raises(SourceUnreachable):
        panda_tower.once("heartbeat")
    assert panda_tower.job(pandaid).state == "failed"
    panda_tower.pass_time(61)
    panda_tower.once("heartbeat")
    assert panda_tower.job(pandaid).state == "donefailed"
    assert panda_tower.known(pandaid) in ("holding", "failed")


def test_logs_are_published_in_the_joblog(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    row = panda_tower.get(panda_tower.job(pandaid).cejob_id)
    (spec,) = panda_tower.db.read("t", lambda c: specs.get(c, [row.jobspec_id])).values()
    panda_tower.site.files |= {name: f"text of {name}".encode() for name in spec.fetch}
    panda_tower.say(pandaid, "finished")
    joblog = panda_tower.directory / "joblog"
    job = panda_tower.job(pandaid)
    assert (joblog / joblog_name(job, "out")).read_bytes() == f"text of {spec.stdout}".encode()
    assert (joblog / joblog_name(job, "jdl")).stat().st_size > 0


# -- kills -------------------------------------------------------------------------------------------------------------


def test_a_job_killed_before_it_had_an_attempt_gets_none(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.taken()
    panda_tower.panda.board.kill(pandaid)
    panda_tower.pass_time(1000)
    panda_tower.once("heartbeat")
    assert panda_tower.job(pandaid).state == "cancelled"
    panda_tower.once("panda2arc", "heartbeat")
    assert panda_tower.job(pandaid).state == "donecancelled"
    assert panda_tower.job(pandaid).cejob_id is None


def test_a_job_killed_while_it_waits_at_the_ce_is_killed_there(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    panda_tower.panda.board.kill(pandaid)
    panda_tower.pass_time(1801)
    panda_tower.once("heartbeat", "canceller-arc")
    assert panda_tower.job(pandaid).state == "tobekilled"
    panda_tower.say(pandaid, "killed")
    panda_tower.once("heartbeat")
    panda_tower.pass_time(10)  # PanDA thinks about the report for a while
    assert (panda_tower.job(pandaid).state, panda_tower.known(pandaid)) == ("donecancelled", "cancelled")


def test_a_job_killed_before_the_ce_had_it_never_runs(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.taken()
    panda_tower.once("panda2arc", "heartbeat")
    panda_tower.panda.board.kill(pandaid)
    panda_tower.pass_time(1801)
    panda_tower.once("heartbeat", "pandastatus", "submitter-arc", "heartbeat")
    assert (panda_tower.job(pandaid).state, panda_tower.site.jobs) == ("donecancelled", {})


# -- archive -----------------------------------------------------------------------------------------------------------


def test_an_ended_job_goes_to_the_archive_with_its_story_once_nothing_is_left_to_do(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    panda_tower.say(pandaid, "failed", error="node died")
    panda_tower.once("heartbeat")
    panda_tower.pass_time(3600)
    panda_tower.once("archiver")
    assert panda_tower.job(pandaid).state == "donefailed"  # its attempt is still to be cleaned
    panda_tower.once("pandastatus", "cleaner-arc", "archiver")
    assert panda_tower.db.read("t", lambda c: db.find(c, pandaid)) is None
    (row,) = panda_tower.db.read("t", lambda c: c.execute(select(archive)).all())
    assert (row.source, row.external_id, row.state) == ("panda", str(pandaid), "donefailed")
    (attempt,) = row.history["attempts"]
    assert [e[2] for e in attempt["events"]][:4] == ["insert", "claim", "accepted", "armed"]
    assert panda_tower.db.read("t", lambda c: c.execute(select(cejobs.events)).all()) == []
    assert panda_tower.db.read("t", meta.highest_cejob) >= attempt["id"]


def test_an_attempt_given_up_as_lost_is_reported_and_not_run_again(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    attempt = panda_tower.job(pandaid).cejob_id
    move = cejobs.Move(attempt, "submitted", Event.SILENT)
    panda_tower.db.run("t", lambda c: cejobs.move(c, [move], who="reconciler"))
    panda_tower.once("pandastatus", "heartbeat")
    assert panda_tower.job(pandaid).error_code == 9001
    panda_tower.once("panda2arc", "submitter-arc")
    assert len(panda_tower.site.jobs) == 1
