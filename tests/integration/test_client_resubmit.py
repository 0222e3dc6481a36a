"""A job that failed gets another attempt, and never while one may run."""

from __future__ import annotations

from act.client.model import Changed, Filter
from tests.integration.client_tower import ClientTower


def test_a_failed_job_is_tried_again_with_the_same_files(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.active(ann)
    client_tower.say(job, "failed", error="it broke")
    first = client_tower.row(job).cejob_id
    assert client_tower.jobs.resubmit(ann, Filter(ids=(job,))) == [Changed(job, first, "donefailed")]
    (row,) = client_tower.all(ann)
    assert (row.shown, row.error, row.attempt_id) == ("tosubmit", "", None)
    client_tower.settle(5)
    (row,) = client_tower.all(ann)
    assert (row.shown, row.attempts) == ("done", 2)
    assert row.attempt_id != first
    assert len(client_tower.jobs.one(ann, job).attempts) == 2


def test_there_is_no_other_attempt_while_one_may_run(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    active, lost, done, sent = *client_tower.active(ann, 3), *client_tower.sent(ann)
    client_tower.say(done, "finished")
    client_tower.put([client_tower.row(lost).cejob_id], "lost", version=99)
    client_tower.once("clientstatus")
    assert client_tower.shown(ann, lost) == ["lost"]
    answers = client_tower.jobs.resubmit(ann, Filter(ids=(active, lost, done, sent)))
    assert {a.id for a in answers if a.refused} == {active, lost, done, sent}
    assert client_tower.jobs.resubmit(ann, Filter()) == []
    client_tower.once("client2arc")
    assert len(client_tower.jobs.one(ann, lost).attempts) == 1


def test_a_job_that_did_not_end_in_time_is_lost(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.active(ann)
    client_tower.pass_time(61 * 86400)
    client_tower.once("clientstatus")
    (row,) = client_tower.all(ann)
    assert (row.state, row.shown) == ("failed", "lost")
    assert client_tower.attempt(job).state == "tocancel"
    (answer,) = client_tower.jobs.resubmit(ann, Filter(ids=(job,)))
    assert "nobody knows" in answer.refused
