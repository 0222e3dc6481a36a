"""People find their own jobs, by all that they ask for, and never anybody else's."""

from __future__ import annotations

import pytest

from act.client.identity import Caller
from act.client.model import Filter, JobNotFound, NewJob
from act.errors import OutputMissing
from tests.integration.client_tower import PLAIN, ClientTower


def test_jobs_of_others_are_not_there(client_tower: ClientTower) -> None:
    ann, eve = client_tower.caller(), client_tower.caller()
    (begun,) = client_tower.begun(ann)
    client_tower.upload(ann, begun)
    (done,) = client_tower.active(ann)
    client_tower.say(done, "finished", exit_code=0)
    (active,) = client_tower.active(ann)
    jobs = client_tower.jobs
    for job in (begun, active, done):
        for ask in (jobs.one, jobs.results, jobs.explain):
            with pytest.raises(JobNotFound):
                ask(eve, job)
        with pytest.raises(JobNotFound):
            jobs.live(eve, job, "stdout")
        with pytest.raises(JobNotFound), jobs.open_result(eve, job, "stdout.txt"):
            pass
        with pytest.raises(JobNotFound):
            client_tower.upload(eve, job, "x")
        assert [type(a) for a in jobs.confirm(eve, [(job, PLAIN, "json")])] == [JobNotFound]
        assert [type(a) for a in jobs.confirm_ids(eve, [job])] == [JobNotFound]
        assert jobs.find(eve, Filter(ids=(job,))) == []
        for wish in (jobs.kill, jobs.clean, jobs.fetch, jobs.resubmit):
            (answer,) = wish(eve, Filter(ids=(job,)))
            assert (answer.attempt_id, answer.shown_before, answer.refused) == (None, "", f"there is no job {job}")
            assert wish(eve, Filter()) == []
    assert jobs.find(eve, Filter(states=("begun", "running", "done"))) == []
    assert [client_tower.row(j).state for j in (begun, active, done)] == ["begun", "active", "finished"]
    assert jobs.usage(eve).jobs == 0
    with jobs.open_result(ann, done, "stdout.txt") as (body, file):
        assert (body.read(), file.size) == (b"hello\n", 6)
    with pytest.raises(OutputMissing), jobs.open_result(ann, done, "../stdout.txt"):
        pass


def named(client_tower: ClientTower, ann: Caller, *names: str) -> None:
    client_tower.jobs.submit(ann, [NewJob(PLAIN.replace("NAME", n), "json") for n in names])


def test_jobs_are_found_by_name_literally(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    named(client_tower, ann, "a_b", "aXb", "A_B", "100%", "1000", "it's")

    def found(part: str) -> list[str]:
        return [r.name for r in client_tower.jobs.find(ann, Filter(name=part))]

    assert found("a_b") == ["a_b"]
    assert found("0%") == ["100%"]
    assert found("'") == ["it's"]
    assert found("\ud800") == []


def test_lists_come_page_by_page_in_order(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    named(client_tower, ann, *"abcdefghij")
    (hidden,) = client_tower.begun(ann)
    jobs = client_tower.all(ann)
    client_tower.jobs.kill(ann, Filter(ids=(jobs[3].id, jobs[7].id)))
    wanted, pages, after = Filter(states=("cancelled", "tosubmit", "nonsense")), [], 0
    while page := client_tower.jobs.find(ann, wanted, after=after, limit=3):
        pages.append([r.name for r in page])
        after = page[-1].id
    assert pages == [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"], ["j"]]
    assert [r.name for r in client_tower.jobs.find(ann, Filter(states=("cancelled",)))] == ["d", "h"]
    assert [r.id for r in client_tower.jobs.find(ann, Filter(states=("begun",)))] == [hidden]
    assert [r.shown for r in client_tower.jobs.find(ann, Filter(ids=(hidden, 10**30, -1)))] == ["begun"]
    assert client_tower.jobs.find(ann, Filter(states=("toclean",))) == []
