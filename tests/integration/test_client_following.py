"""Jobs of people go on and end: their owner sees it, and may look into them at any moment."""

from __future__ import annotations

import pytest

from act.client.model import Filter, NewJob, QuotaExceeded, Submitted
from act.client.tables import clientjobs
from tests.integration.beats import ARC_DAEMONS, CLIENT_DAEMONS, beat
from tests.integration.client_tower import PLAIN, QUOTA, ClientTower, MakeClientTower
from tests.truth import assert_explained, explain, reasons, turns

# -- to the end --------------------------------------------------------------------------------------------------------


def test_a_job_is_followed_to_its_results(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.sent(ann)
    seen = client_tower.shown(ann, job)
    client_tower.once("client2arc", "clientstatus")
    seen += client_tower.shown(ann, job)
    client_tower.once("submitter-arc", "clientstatus")
    seen += client_tower.shown(ann, job)
    for _ in range(2):
        client_tower.tick()
        seen += client_tower.shown(ann, job)
    assert seen == ["tosubmit", "tosubmit", "submitted", "running", "done"]
    detail = client_tower.jobs.one(ann, job)
    assert detail.row.state == "finished" and detail.row.exit_code == 0 and detail.row.error == ""
    assert [(r.name, r.size) for r in detail.results] == [("stdout.txt", 6)]
    assert [h.event for h in detail.history if h.of == "job"] == ["insert", "confirm", "attempt", "done"]
    assert [h.at for h in detail.history] == sorted(h.at for h in detail.history)
    client_tower.settle(3)
    assert client_tower.sites[0].jobs == {}  # nothing is kept at the CE, all of it here
    with client_tower.jobs.open_result(ann, job, "stdout.txt") as (body, _):
        assert body.read() == b"hello\n"


def test_files_of_a_failed_job_are_brought_by_themselves(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.active(ann)
    client_tower.say(job, "failed", exit_code=3, error="it broke")
    (row,) = client_tower.all(ann)
    assert (row.state, row.shown, row.error, row.exit_code) == ("failed", "donefailed", "it broke", 3)
    assert [f.name for f in client_tower.jobs.results(ann, job)] == ["stdout.txt"]


def test_a_job_that_the_ce_has_lost_is_told_as_such(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    client_tower.active(ann)
    client_tower.sites[0].jobs.clear()
    for _ in range(3):
        client_tower.pass_time(3600)
        client_tower.once("status-arc", "clientstatus")
    (row,) = client_tower.all(ann)
    assert row.shown == "cancelled" and row.error


def test_a_job_that_cannot_be_expressed_any_more_fails_with_the_reason(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    client_tower.sent(ann)
    client_tower.db.run("t", lambda c: c.execute(clientjobs.update().values(ces=["gone"])))
    client_tower.once("client2arc")
    (row,) = client_tower.all(ann)
    assert (row.state, row.shown) == ("failed", "donefailed")
    assert "gone" in row.error


def test_what_a_job_brought_counts_against_the_quota(new_client_tower: MakeClientTower) -> None:
    tower = new_client_tower(quota=QUOTA.format(5, 10, 1))
    ann = tower.caller()
    for site in tower.sites:
        site.files["stdout.txt"] = b"x" * 990_000
    (job,) = tower.active(ann)
    tower.tick()
    assert tower.shown(ann, job) == ["done"]
    assert tower.jobs.usage(ann).mb == pytest.approx(0.99, abs=0.001)
    (other,) = tower.begun(ann)
    with pytest.raises(QuotaExceeded, match="1 MB"):
        tower.upload(ann, other, content=b"x" * 20_000)


# -- on the way --------------------------------------------------------------------------------------------------------


def test_output_of_a_running_job_is_brought_while_somebody_looks(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.sent(ann)
    assert client_tower.jobs.live(ann, job, "stdout").final is False
    client_tower.once("client2arc", "submitter-arc")
    client_tower.tick()
    first = client_tower.jobs.live(ann, job, "stdout")
    assert (first.shown, first.open, first.final) == ("running", None, False)
    client_tower.once("fetcher-arc")
    now = client_tower.jobs.live(ann, job, "stdout.txt")
    assert now.open is not None and not now.final
    with now.open() as body:
        assert body.read() == b"hello\n"
    client_tower.sites[0].files["stdout.txt"] = b"hello\nworld\n"
    client_tower.tick()
    last = client_tower.jobs.live(ann, job, "stderr")
    assert (last.final, last.size) == (True, 12)
    assert last.open is not None
    with last.open() as body:
        assert body.read() == b"hello\nworld\n"
    nothing = client_tower.jobs.live(ann, job, "never")
    assert (nothing.open, nothing.final) == (None, True)


def test_nobody_looks_at_too_many_files(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.active(ann)
    for n in range(50):
        client_tower.jobs.live(ann, job, f"f{n}")
    client_tower.jobs.live(ann, job, "f0")
    with pytest.raises(QuotaExceeded, match="50 files"):
        client_tower.jobs.live(ann, job, "f50")


def test_an_explanation_names_who_acts_next(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    env = client_tower.environment

    def told(job: int) -> list[str]:
        story = assert_explained(env, f"client:{job}")
        return [t["daemon"] for t in turns(story)]

    begun = client_tower.begun(ann)[0]
    assert told(begun) == ["its owner"]
    (job,) = client_tower.sent(ann)
    assert told(job) == ["client2arc"]
    (story,) = explain(env, f"client:{job}")
    assert reasons(story) == {"daemon"}
    beat(client_tower, *CLIENT_DAEMONS, *ARC_DAEMONS)
    (story,) = explain(env, f"client:{job}")
    assert reasons(story) == set()
    client_tower.once("client2arc")
    assert told(job) == ["submitter-arc"]
    client_tower.once("submitter-arc", "clientstatus")
    assert told(job) == ["status-arc"]
    client_tower.say(job, "failed", error="it broke")
    assert told(job) == ["its owner", "cleaner-arc"]
    assert_explained(env, f"client:{job}", ["it broke", "its attempt ended badly", "/CN=user1"])
    client_tower.jobs.clean(ann, Filter(ids=(job,)))
    assert told(job) == ["cleaner-arc"]
    client_tower.pass_time(60)
    client_tower.once("cleaner-arc")
    assert told(job) == ["clientstatus"]


def test_its_owner_is_told_what_an_operator_is_told_of_the_job_and_nothing_else(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (answer,) = client_tower.jobs.submit(ann, [NewJob(PLAIN, "json")])
    assert isinstance(answer, Submitted)
    (story,) = client_tower.jobs.explain(ann, answer.id)
    assert story.state == "sent" and story.turn is not None
    assert "actctl" not in str(story)
