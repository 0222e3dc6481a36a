"""Jobs of people go on, end and are removed: their owner sees it, and may want something at any moment."""

from __future__ import annotations

import pytest

from act.client import db
from act.client.daemons.sweep import Sweep
from act.client.model import Changed, Filter, JobNotFound, NewJob, QuotaExceeded, Submitted
from act.client.tables import clientjobs
from act.db import meta
from act.db.schema import cejobs, events, jobspecs, results
from act.errors import StorageUnavailable
from act.storage import Store
from tests.fakes import unreachable
from tests.integration.beats import ARC_DAEMONS, beat
from tests.integration.client_tower import PLAIN, QUOTA, ClientTower, MakeClientTower
from tests.truth import assert_explained, explain, reasons, turns

CLIENT_DAEMONS = ("client2arc", "client2condor", "clientstatus")


@pytest.fixture
def tower(new_client_tower: MakeClientTower) -> ClientTower:
    """With generous quotas."""
    return new_client_tower()


def left(tower: ClientTower) -> list[int]:
    """Rows of all tables that jobs have, and files of the store."""
    tables = (cejobs, jobspecs, events, results)
    return [*(len(tower.db.read("t", lambda c, t=t: c.execute(t.select()).all())) for t in tables),
            len(tower.store.list())]  # fmt: skip


# -- following ---------------------------------------------------------------------------------------------------------


def test_a_job_is_followed_to_its_results(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.sent(ann)
    seen = tower.shown(ann, job)
    tower.once("client2arc", "clientstatus")
    seen += tower.shown(ann, job)
    tower.once("submitter-arc", "clientstatus")
    seen += tower.shown(ann, job)
    for _ in range(2):
        tower.tick()
        seen += tower.shown(ann, job)
    assert seen == ["tosubmit", "tosubmit", "submitted", "running", "done"]
    detail = tower.jobs.one(ann, job)
    assert detail.row.state == "finished" and detail.row.exit_code == 0 and detail.row.error == ""
    assert [(r.name, r.size) for r in detail.results] == [("stdout.txt", 6)]
    assert [h.event for h in detail.history if h.of == "job"] == ["insert", "confirm", "attempt", "done"]
    assert [h.at for h in detail.history] == sorted(h.at for h in detail.history)
    tower.settle(3)
    assert tower.sites[0].jobs == {}  # nothing is kept at the CE, all of it here
    with tower.jobs.open_result(ann, job, "stdout.txt") as (body, _):
        assert body.read() == b"hello\n"


def test_files_of_a_failed_job_are_brought_by_themselves(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.active(ann)
    tower.say(job, "failed", exit_code=3, error="it broke")
    (row,) = tower.all(ann)
    assert (row.state, row.shown, row.error, row.exit_code) == ("failed", "donefailed", "it broke", 3)
    assert [f.name for f in tower.jobs.results(ann, job)] == ["stdout.txt"]


def test_a_job_that_the_ce_has_lost_is_told_as_such(tower: ClientTower) -> None:
    ann = tower.caller()
    tower.active(ann)
    tower.sites[0].jobs.clear()
    for _ in range(3):
        tower.pass_time(3600)
        tower.once("status-arc", "clientstatus")
    (row,) = tower.all(ann)
    assert row.shown == "cancelled" and row.error


def test_a_job_that_cannot_be_expressed_any_more_fails_with_the_reason(tower: ClientTower) -> None:
    ann = tower.caller()
    tower.sent(ann)
    tower.db.run("t", lambda c: c.execute(clientjobs.update().values(ces=["gone"])))
    tower.once("client2arc")
    (row,) = tower.all(ann)
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


# -- killing -----------------------------------------------------------------------------------------------------------


def test_a_job_is_killed_whatever_it_does(tower: ClientTower) -> None:
    ann = tower.caller()
    states: dict[int, str] = {}
    for job, state in zip(tower.active(ann, 4), ("queued", "held", "running", "finishing"), strict=True):
        tower.say(job, state)
        states[job] = tower.shown(ann, job)[0]
    assert sorted(states.values()) == ["finishing", "holding", "running", "submitted"]
    (waiting,) = tower.sent(ann)
    tower.once("client2arc")
    (sent,) = tower.sent(ann)
    (begun,) = tower.begun(ann)
    answers = tower.jobs.kill(ann, Filter(ids=(begun, sent, waiting, *states)))
    assert {a.id: a.shown_before for a in answers} == {begun: "begun", sent: "tosubmit", waiting: "tosubmit", **states}
    assert all(not a.refused for a in answers)
    assert set(tower.shown(ann, waiting, *states)) == {"tocancel"}
    tower.settle(5)
    assert tower.shown(ann, begun, sent, waiting, *states) == ["cancelled"] * 6
    assert not [j for site in tower.sites for j in site.jobs.values() if j.state not in ("killed", "finished")]


def test_a_kill_is_shown_until_it_reaches_the_attempt(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.sent(ann)
    tower.sites[0].fails("arm", unreachable(), times=1)
    tower.once("client2arc", "submitter-arc", "clientstatus")
    assert tower.attempt(job).state == "created"
    assert tower.shown(ann, job) == ["submitting"]
    tower.jobs.kill(ann, Filter(ids=(job,)))
    assert tower.attempt(job).wish == "cancel"
    tower.once("clientstatus")
    assert tower.shown(ann, job) == ["tocancel"]
    for _ in range(4):
        tower.pass_time(700)
        tower.once("reconciler-arc", "submitter-arc", "canceller-arc", "status-arc", "clientstatus")
        tower.sites[0].tick()
    assert tower.shown(ann, job) == ["cancelled"]
    assert sum(j.runs for j in tower.sites[0].jobs.values()) == 0


def test_a_kill_that_comes_too_late_changes_nothing(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.active(ann)
    for there in tower.sites[0].jobs.values():
        there.state = "finished"
    tower.pass_time(61)
    tower.once("status-arc")
    (answer,) = tower.jobs.kill(ann, Filter(ids=(job,)))
    assert answer.refused == "it is ending by itself"
    tower.once("fetcher-arc", "clientstatus")
    assert tower.shown(ann, job) == ["done"]
    (answer,) = tower.jobs.kill(ann, Filter(ids=(job,)))
    assert answer.refused == "it has ended already"
    assert tower.jobs.kill(ann, Filter()) == []


def test_the_last_word_on_a_killed_job_is_the_ces(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.active(ann)
    tower.jobs.kill(ann, Filter(ids=(job,)))
    for there in tower.sites[0].jobs.values():
        there.state, there.exit_code = "finished", 0
    tower.once("canceller-arc")
    tower.settle(3)
    assert tower.shown(ann, job) == ["done"]
    assert [f.name for f in tower.jobs.results(ann, job)] == ["stdout.txt"]


def test_all_of_many_jobs_are_killed_at_once(tower: ClientTower) -> None:
    ann, bob = tower.caller(), tower.caller()
    names = [PLAIN.replace("NAME", f"n{i % 2}") for i in range(600)]
    tower.jobs.submit(ann, [NewJob(n, "json") for n in names])
    tower.jobs.submit(bob, [NewJob(n, "json") for n in names[:3]])
    assert len(tower.jobs.kill(ann, Filter(name="n1"))) == 300
    assert len(tower.jobs.kill(ann, Filter(states=("tosubmit",)))) == 300
    assert {r.shown for r in tower.jobs.find(ann, Filter(), limit=1000)} == {"cancelled"}
    assert {r.shown for r in tower.all(bob)} == {"tosubmit"}


# -- trying again ------------------------------------------------------------------------------------------------------


def test_a_failed_job_is_tried_again_with_the_same_files(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.active(ann)
    tower.say(job, "failed", error="it broke")
    first = tower.row(job).cejob_id
    assert tower.jobs.resubmit(ann, Filter(ids=(job,))) == [Changed(job, first, "donefailed")]
    (row,) = tower.all(ann)
    assert (row.shown, row.error, row.attempt_id) == ("tosubmit", "", None)
    tower.settle(5)
    (row,) = tower.all(ann)
    assert (row.shown, row.attempts) == ("done", 2)
    assert row.attempt_id != first
    assert len(tower.jobs.one(ann, job).attempts) == 2


def test_there_is_no_other_attempt_while_one_may_run(tower: ClientTower) -> None:
    ann = tower.caller()
    active, lost, done, sent = *tower.active(ann, 3), *tower.sent(ann)
    tower.say(done, "finished")
    tower.put([tower.row(lost).cejob_id], "lost", version=99)
    tower.once("clientstatus")
    assert tower.shown(ann, lost) == ["lost"]
    answers = tower.jobs.resubmit(ann, Filter(ids=(active, lost, done, sent)))
    assert {a.id for a in answers if a.refused} == {active, lost, done, sent}
    assert tower.jobs.resubmit(ann, Filter()) == []
    tower.once("client2arc")
    assert len(tower.jobs.one(ann, lost).attempts) == 1


def test_a_job_that_did_not_end_in_time_is_lost(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.active(ann)
    tower.pass_time(61 * 86400)
    tower.once("clientstatus")
    (row,) = tower.all(ann)
    assert (row.state, row.shown) == ("failed", "lost")
    assert tower.attempt(job).state == "tocancel"
    (answer,) = tower.jobs.resubmit(ann, Filter(ids=(job,)))
    assert "nobody knows" in answer.refused


# -- removing ----------------------------------------------------------------------------------------------------------


def test_cleaning_leaves_nothing(tower: ClientTower) -> None:
    ann = tower.caller()
    empty = left(tower)
    jobs = tower.active(ann, 3)
    tower.say(jobs[0], "failed", error="it broke")
    tower.jobs.resubmit(ann, Filter(ids=(jobs[0],)))
    tower.jobs.live(ann, jobs[1], "stdout")
    tower.settle(5)
    assert tower.jobs.usage(ann).files == 3 + 4
    assert len(tower.jobs.clean(ann, Filter())) == 3
    assert tower.all(ann) == []
    with pytest.raises(JobNotFound):
        tower.jobs.one(ann, jobs[0])
    tower.settle(3)
    assert left(tower) == empty
    assert (tower.jobs.usage(ann).jobs, tower.jobs.usage(ann).mb) == (0, 0)


def test_ended_jobs_are_kept_for_so_many_days(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.active(ann)
    tower.settle(4)
    tower.pass_time(1.9 * 86400)
    tower.once("clientstatus")
    assert tower.shown(ann, job) == ["done"]
    tower.pass_time(0.2 * 86400)
    tower.once("clientstatus")
    assert tower.all(ann) == []
    assert tower.store.list() == []


def test_a_job_cannot_be_cleaned_before_its_end(tower: ClientTower) -> None:
    ann = tower.caller()
    jobs = (*tower.active(ann), *tower.sent(ann))
    assert [a.refused for a in tower.jobs.clean(ann, Filter(ids=jobs))] == ["it has not ended: kill it first"] * 2
    assert tower.jobs.clean(ann, Filter()) == []


def test_a_job_whose_files_cannot_be_removed_is_not_in_the_way_of_others(
    tower: ClientTower, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = tower.caller()
    stuck, other = tower.begun(ann, 2)
    tower.upload(ann, stuck)
    tower.jobs.kill(ann, Filter(ids=(stuck, other)))
    remove = Store.remove

    def fail(store: Store, name: str) -> None:
        if name == f"inputs/0/{stuck}":
            raise StorageUnavailable("no permission")
        remove(store, name)

    monkeypatch.setattr(Store, "remove", fail)
    tower.once("clientstatus")
    assert tower.jobs.usage(ann).jobs == 1
    beat(tower, *CLIENT_DAEMONS)
    assert_explained(tower.environment, f"client:{stuck}", "it rests before it is tried again")
    monkeypatch.undo()
    tower.pass_time(601)
    tower.once("clientstatus")
    assert tower.jobs.usage(ann).jobs == 0


def _parents(tower: ClientTower) -> int:
    """After so many looks each folder of the store with a thousand others in it has had its turn."""
    return tower.db.read("highest", lambda c: meta.highest_cejob(c) + db.highest_job(c)) // 1000 + 1


def test_files_that_a_crash_left_are_found(tower: ClientTower) -> None:
    ann = tower.caller()
    (kept,) = tower.sent(ann)
    before = tower.store.list()
    (gone,) = tower.begun(ann)
    tower.once("client2arc")
    tower.jobs.kill(ann, Filter(ids=(gone,)))
    tower.once("clientstatus")
    (later,) = tower.begun(ann)
    for name in (f"inputs/0/{gone}/x", "results/0/0/out", "live/0/0/out", f"inputs/0/{later + 1}/of-another-database"):
        with tower.store.write(name) as file:
            file.write(b"left")
    sweep = Sweep(tower.db, tower.store)
    for _ in range(_parents(tower)):
        sweep.one_more()
    assert tower.store.list() == sorted([*before, f"inputs/0/{later + 1}/of-another-database"])
    assert kept != gone


# -- looking -----------------------------------------------------------------------------------------------------------


def test_output_of_a_running_job_is_brought_while_somebody_looks(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.sent(ann)
    assert tower.jobs.live(ann, job, "stdout").final is False
    tower.once("client2arc", "submitter-arc")
    tower.tick()
    first = tower.jobs.live(ann, job, "stdout")
    assert (first.shown, first.open, first.final) == ("running", None, False)
    tower.once("fetcher-arc")
    now = tower.jobs.live(ann, job, "stdout.txt")
    assert now.open is not None and not now.final
    with now.open() as body:
        assert body.read() == b"hello\n"
    tower.sites[0].files["stdout.txt"] = b"hello\nworld\n"
    tower.tick()
    last = tower.jobs.live(ann, job, "stderr")
    assert (last.final, last.size) == (True, 12)
    assert last.open is not None
    with last.open() as body:
        assert body.read() == b"hello\nworld\n"
    nothing = tower.jobs.live(ann, job, "never")
    assert (nothing.open, nothing.final) == (None, True)


def test_nobody_looks_at_too_many_files(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.active(ann)
    for n in range(50):
        tower.jobs.live(ann, job, f"f{n}")
    tower.jobs.live(ann, job, "f0")
    with pytest.raises(QuotaExceeded, match="50 files"):
        tower.jobs.live(ann, job, "f50")


def test_an_explanation_names_who_acts_next(tower: ClientTower) -> None:
    ann = tower.caller()
    env = tower.environment

    def told(job: int) -> list[str]:
        story = assert_explained(env, f"client:{job}")
        return [t["daemon"] for t in turns(story)]

    begun = tower.begun(ann)[0]
    assert told(begun) == ["its owner"]
    (job,) = tower.sent(ann)
    assert told(job) == ["client2arc"]
    (story,) = explain(env, f"client:{job}")
    assert reasons(story) == {"daemon"}
    beat(tower, *CLIENT_DAEMONS, *ARC_DAEMONS)
    (story,) = explain(env, f"client:{job}")
    assert reasons(story) == set()
    tower.once("client2arc")
    assert told(job) == ["submitter-arc"]
    tower.once("submitter-arc", "clientstatus")
    assert told(job) == ["status-arc"]
    tower.say(job, "failed", error="it broke")
    assert told(job) == ["its owner", "cleaner-arc"]
    assert_explained(env, f"client:{job}", ["it broke", "its attempt ended badly", "/CN=user1"])
    tower.jobs.clean(ann, Filter(ids=(job,)))
    assert told(job) == ["cleaner-arc"]
    tower.pass_time(60)
    tower.once("cleaner-arc")
    assert told(job) == ["clientstatus"]


def test_its_owner_is_told_what_an_operator_is_told_of_the_job_and_nothing_else(tower: ClientTower) -> None:
    ann = tower.caller()
    (answer,) = tower.jobs.submit(ann, [NewJob(PLAIN, "json")])
    assert isinstance(answer, Submitted)
    (story,) = tower.jobs.explain(ann, answer.id)
    assert story.state == "sent" and story.turn is not None
    assert "actctl" not in str(story)
