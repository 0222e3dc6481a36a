"""People end their jobs, whatever these do: nothing runs on, and the last word is the CE's."""

from __future__ import annotations

from act.client.model import Filter, NewJob
from tests.fakes import unreachable
from tests.integration.client_tower import PLAIN, ClientTower


def test_a_job_is_killed_whatever_it_does(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    states: dict[int, str] = {}
    for job, state in zip(client_tower.active(ann, 4), ("queued", "held", "running", "finishing"), strict=True):
        client_tower.say(job, state)
        states[job] = client_tower.shown(ann, job)[0]
    assert sorted(states.values()) == ["finishing", "holding", "running", "submitted"]
    (waiting,) = client_tower.sent(ann)
    client_tower.once("client2arc")
    (sent,) = client_tower.sent(ann)
    (begun,) = client_tower.begun(ann)
    answers = client_tower.jobs.kill(ann, Filter(ids=(begun, sent, waiting, *states)))
    assert {a.id: a.shown_before for a in answers} == {begun: "begun", sent: "tosubmit", waiting: "tosubmit", **states}
    assert all(not a.refused for a in answers)
    assert set(client_tower.shown(ann, waiting, *states)) == {"tocancel"}
    client_tower.settle(5)
    assert client_tower.shown(ann, begun, sent, waiting, *states) == ["cancelled"] * 6
    assert not [j for site in client_tower.sites for j in site.jobs.values() if j.state not in ("killed", "finished")]


def test_a_kill_is_shown_until_it_reaches_the_attempt(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.sent(ann)
    client_tower.sites[0].fails("arm", unreachable(), times=1)
    client_tower.once("client2arc", "submitter-arc", "clientstatus")
    assert client_tower.attempt(job).state == "created"
    assert client_tower.shown(ann, job) == ["submitting"]
    client_tower.jobs.kill(ann, Filter(ids=(job,)))
    assert client_tower.attempt(job).wish == "cancel"
    client_tower.once("clientstatus")
    assert client_tower.shown(ann, job) == ["tocancel"]
    for _ in range(4):
        client_tower.pass_time(700)
        client_tower.once("reconciler-arc", "submitter-arc", "canceller-arc", "status-arc", "clientstatus")
        client_tower.sites[0].tick()
    assert client_tower.shown(ann, job) == ["cancelled"]
    assert sum(j.runs for j in client_tower.sites[0].jobs.values()) == 0


def test_a_kill_that_comes_too_late_changes_nothing(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.active(ann)
    for there in client_tower.sites[0].jobs.values():
        there.state = "finished"
    client_tower.pass_time(61)
    client_tower.once("status-arc")
    (answer,) = client_tower.jobs.kill(ann, Filter(ids=(job,)))
    assert answer.refused == "it is ending by itself"
    client_tower.once("fetcher-arc", "clientstatus")
    assert client_tower.shown(ann, job) == ["done"]
    (answer,) = client_tower.jobs.kill(ann, Filter(ids=(job,)))
    assert answer.refused == "it has ended already"
    assert client_tower.jobs.kill(ann, Filter()) == []


def test_the_last_word_on_a_killed_job_is_the_ces(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.active(ann)
    client_tower.jobs.kill(ann, Filter(ids=(job,)))
    for there in client_tower.sites[0].jobs.values():
        there.state, there.exit_code = "finished", 0
    client_tower.once("canceller-arc")
    client_tower.settle(3)
    assert client_tower.shown(ann, job) == ["done"]
    assert [f.name for f in client_tower.jobs.results(ann, job)] == ["stdout.txt"]


def test_all_of_many_jobs_are_killed_at_once(client_tower: ClientTower) -> None:
    ann, bob = client_tower.caller(), client_tower.caller()
    names = [PLAIN.replace("NAME", f"n{i % 2}") for i in range(600)]
    client_tower.jobs.submit(ann, [NewJob(n, "json") for n in names])
    client_tower.jobs.submit(bob, [NewJob(n, "json") for n in names[:3]])
    assert len(client_tower.jobs.kill(ann, Filter(name="n1"))) == 300
    assert len(client_tower.jobs.kill(ann, Filter(states=("tosubmit",)))) == 300
    assert {r.shown for r in client_tower.jobs.find(ann, Filter(), limit=1000)} == {"cancelled"}
    assert {r.shown for r in client_tower.all(bob)} == {"tosubmit"}
