"""Jobs come in: nothing is lost or doubled however often a request is repeated, and nobody sees other people's."""

from __future__ import annotations

import io
from contextlib import suppress
from hashlib import sha256

import pytest

from act.client.identity import Caller, Forbidden
from act.client.model import (
    Begun,
    Confirmed,
    Filter,
    JobNotFound,
    NewJob,
    QuotaExceeded,
    Submitted,
    TooLarge,
    WrongState,
)
from act.errors import BadJobSpec, DatabaseBusy, OutputMissing
from tests.integration.client_tower import JSON, PLAIN, QUOTA, ClientTower, MakeClientTower
from tests.kit import together


@pytest.fixture
def tower(new_client_tower: MakeClientTower) -> ClientTower:
    """With generous quotas."""
    return new_client_tower()


def files_of(tower: ClientTower, job: int) -> list[bytes]:
    """What the store has of a job's inputs."""
    return [tower.store.read(name) for name in tower.store.list(f"inputs/{job // 1000}/{job}")]


# -- beginning ---------------------------------------------------------------------------------------------------------


def test_a_submission_with_the_same_key_gives_the_same_jobs(tower: ClientTower) -> None:
    ann = tower.caller()
    first = tower.begun(ann, 3, key="k")
    assert tower.begun(ann, 3, key="k") == first
    assert tower.begun(ann, 5, key="k")[:3] == first
    assert tower.begun(ann, 3, key="K") != first
    assert tower.jobs.usage(ann).jobs == 8


def test_keys_are_everybodys_own(tower: ClientTower) -> None:
    ann, bob = tower.caller(), tower.caller()
    assert set(tower.begun(ann, 2, key="k")) & set(tower.begun(bob, 2, key="k")) == set()


def test_replays_at_the_same_time_give_the_same_jobs(tower: ClientTower) -> None:
    ann = tower.caller()
    answers = together(*[lambda: tower.begun(ann, 20, key="k")] * 4)
    assert answers == [answers[0]] * 4
    assert tower.jobs.usage(ann).jobs == 20


def test_a_lost_answer_is_given_again(tower: ClientTower, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = tower.caller()
    monkeypatch.setenv("ACT_FAULT", "tx.begin:after:fail")
    with pytest.raises(DatabaseBusy):
        tower.begun(ann, 3, key="k")
    assert len(tower.begun(ann, 3, key="k")) == 3
    assert tower.jobs.usage(ann).jobs == 3


def test_a_key_stands_for_one_request(tower: ClientTower) -> None:
    ann = tower.caller()
    (first,) = tower.jobs.submit(ann, [NewJob(PLAIN, "json")], key="k")
    assert isinstance(first, Submitted)
    assert tower.jobs.submit(ann, [NewJob(PLAIN, "json")], key="k") == [first]
    (other,) = tower.jobs.submit(ann, [NewJob(PLAIN.replace("NAME", "x"), "json")], key="k")
    assert isinstance(other, WrongState) and "new key" in str(other)


def test_jobs_need_a_credential(tower: ClientTower) -> None:
    with pytest.raises(Forbidden, match="hand a proxy over"):
        tower.begun(tower.caller(credential=False))


def test_ces_are_chosen_by_name_or_location_from_those_of_the_callers_groups(tower: ClientTower) -> None:
    few = tower.caller("few")
    answers = tower.jobs.begin(few, [["one"], ["https://CE1.example.org/grid"], ["default"], [], ["two"]])
    assert [isinstance(a, Begun) for a in answers] == [True] * 4 + [False]
    assert "Unknown cluster two: you may use one (https://ce1.example.org:443/grid)" in str(answers[4])
    assert [p.name for p in tower.jobs.places(few)] == ["one"]


# -- confirming --------------------------------------------------------------------------------------------------------


def test_confirming_twice_is_the_same_as_once(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.begun(ann)
    tower.upload(ann, job)
    for _ in range(2):
        assert tower.jobs.confirm(ann, [(job, JSON, "json")]) == [Confirmed(job, "tosubmit", "NAME")]
    (other,) = tower.jobs.confirm(ann, [(job, PLAIN, "json")])
    assert isinstance(other, WrongState)
    tower.once("client2arc")
    assert isinstance(tower.jobs.confirm(ann, [(job, JSON, "json")])[0], Confirmed)
    assert len(tower.jobs.one(ann, job).attempts) == 1


def test_of_two_confirmations_at_the_same_time_one_counts(tower: ClientTower) -> None:
    ann = tower.caller()
    jobs = tower.begun(ann, 20)
    texts = [PLAIN.replace("NAME", str(n)) for n in range(3)]
    answers = together(*[lambda t=t: tower.jobs.confirm(ann, [(j, t, "json") for j in jobs]) for t in texts])
    for n, job in enumerate(jobs):
        won = [t for t, answer in zip(texts, answers, strict=True) if isinstance(answer[n], Confirmed)]
        assert won == [tower.row(job).description]


def test_a_job_without_its_files_is_not_confirmed_and_can_be_later(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.begun(ann)
    (answer,) = tower.jobs.confirm(ann, [(job, JSON, "json")])
    assert isinstance(answer, BadJobSpec) and "Input file run.sh missing" in str(answer)
    tower.upload(ann, job)
    assert isinstance(tower.jobs.confirm(ann, [(job, JSON, "json")])[0], Confirmed)


def test_one_bad_job_is_not_in_the_way_of_others(tower: ClientTower) -> None:
    ann = tower.caller()
    good, bad = tower.begun(ann, 2)
    answers = tower.jobs.confirm(ann, [(bad, "{", "json"), (good, PLAIN, "json"), (10**30, PLAIN, "json")])
    assert [type(a) for a in answers] == [BadJobSpec, Confirmed, JobNotFound]


def test_jobs_are_submitted_with_their_descriptions_at_once(tower: ClientTower) -> None:
    ann = tower.caller()
    items = [NewJob(PLAIN, "json"), NewJob(JSON, "json", inputs=("run.sh",)), NewJob("{", "json"), NewJob(JSON, "json")]
    plain, with_file, *bad = tower.jobs.submit(ann, items)
    assert isinstance(plain, Submitted) and plain.state == "tosubmit" and plain.name == "NAME"
    assert isinstance(with_file, Submitted) and with_file.state == "begun"
    assert [type(b) for b in bad] == [BadJobSpec, BadJobSpec]
    tower.upload(ann, with_file.id)
    assert tower.jobs.confirm_ids(ann, [with_file.id]) == [Confirmed(with_file.id, "tosubmit", "NAME")]
    assert tower.jobs.usage(ann).jobs == 2


def test_a_description_is_for_the_ces_that_understand_it(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.begun(ann)
    tower.jobs.confirm(ann, [(job, PLAIN, "json")])
    assert (tower.row(job).ces, tower.row(job).flavour) == (["one", "two"], "arc")
    (pool,) = (b.id for b in tower.jobs.begin(ann, [["pool", "one"]]) if isinstance(b, Begun))
    tower.jobs.confirm(ann, [(pool, PLAIN, "json")])
    assert (tower.row(pool).ces, tower.row(pool).flavour) == (["pool"], "condor")


@pytest.mark.parametrize(
    "text, says",
    [
        ('{"executable": "x", "inputs": [{"name": "f", "source": "/etc/passwd"}]}', "Input file f missing"),
        ('{"executable": "x", "inputs": [{"name": "f", "source": "file:///etc/passwd"}]}', "Input file f missing"),
        ('{"executable": "x", "inputs": [{"name": "f", "source": "ftp://h/f"}]}', "https://"),
        ('{"executable": "x", "inputs": [{"name": "../f"}]}', "no file name"),
        ('{"executable": "x", "stdout": "../../f"}', "no file name"),
        ('{"executable": "x", "fetch": ["/etc/passwd"]}', "no file name"),
        ('{"executable": "x", "outputs": [{"name": "o", "destination": "/home/me"}]}', "https://"),
        ('[{"executable": "x"}, {"executable": "y"}]', "2 jobs"),
        ('{"executable": "x", "name": "' + "y" * 10_000 + '"}', "more than 10 kB"),
        ("\ud800", "no text"),
    ],
)
def test_a_description_cannot_mean_files_of_the_tower(tower: ClientTower, text: str, says: str) -> None:
    ann = tower.caller()
    (job,) = tower.begun(ann)
    (answer,) = tower.jobs.confirm(ann, [(job, text, "json")])
    assert isinstance(answer, BadJobSpec) and says in str(answer)
    assert tower.row(job).state == "begun"


def test_an_unknown_language_is_said_so(tower: ClientTower) -> None:
    ann = tower.caller()
    (answer,) = tower.jobs.submit(ann, [NewJob(PLAIN, "klingon")])
    assert isinstance(answer, BadJobSpec) and "klingon" in str(answer)


# -- files -------------------------------------------------------------------------------------------------------------


def test_uploaded_files_are_what_the_attempt_gets(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.begun(ann)
    tower.upload(ann, job, content=b"old")
    stored = tower.jobs.upload(ann, job, "run.sh", io.BytesIO(b"new one"), sha256=sha256(b"new one").hexdigest())
    assert (stored.size, stored.sha256) == (7, sha256(b"new one").hexdigest())
    assert files_of(tower, job) == [b"new one"]
    tower.jobs.confirm(ann, [(job, JSON, "json")])
    tower.once("client2arc", "submitter-arc")
    (there,) = tower.sites[0].jobs.values() if tower.sites[0].jobs else tower.sites[1].jobs.values()
    (file,) = there.spec.inputs
    assert (tower.store.read(file.stored), file.size, file.source) == (b"new one", 7, "")


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "", "a/../b", "x" * 201, "/".join("a" * 21), "a\nb", "\ud800"])
def test_names_that_lead_anywhere_are_refused(tower: ClientTower, name: str) -> None:
    ann = tower.caller()
    (job,) = tower.begun(ann)
    with pytest.raises(BadJobSpec):
        tower.upload(ann, job, name)
    assert files_of(tower, job) == []


def test_names_that_differ_in_anything_are_different_files(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.begun(ann)
    for name in ("a", "A", "a "):
        tower.upload(ann, job, name, name.encode())
    assert sorted(files_of(tower, job)) == [b"A", b"a", b"a "]


class Broken(io.RawIOBase):
    """A client that goes away."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("gone")


def test_what_did_not_come_whole_is_not_there(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.begun(ann)
    with pytest.raises(BadJobSpec, match="did not come whole: gone"):
        tower.jobs.upload(ann, job, "run.sh", Broken())  # type: ignore[arg-type]
    with pytest.raises(BadJobSpec, match="damaged"):
        tower.jobs.upload(ann, job, "run.sh", io.BytesIO(b"x"), sha256="0" * 64)
    with pytest.raises(TooLarge, match="larger than 1 MB"):
        tower.upload(ann, job, "big", b"x" * 1_000_001)
    assert files_of(tower, job) == []
    assert tower.jobs.usage(ann).files == 0


def test_a_job_has_so_many_files_at_most(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.begun(ann)
    for name in "abc":
        tower.upload(ann, job, name)
    tower.upload(ann, job, "a", b"again")
    with pytest.raises(QuotaExceeded, match="3 files"):
        tower.upload(ann, job, "d")
    assert len(files_of(tower, job)) == 3


def test_files_of_a_confirmed_job_cannot_be_changed(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.sent(ann)
    with pytest.raises(WrongState):
        tower.upload(ann, job, content=b"other")
    assert files_of(tower, job) == [b"#!/bin/sh\n"]


def test_a_file_that_comes_while_the_job_is_confirmed_counts_whole_or_not_at_all(tower: ClientTower) -> None:
    ann = tower.caller()
    for content in (b"a" * 10, b"b" * 1000, b"c" * 5000):
        (job,) = tower.begun(ann)
        tower.upload(ann, job)

        def late(job: int = job, content: bytes = content) -> None:
            with suppress(WrongState):
                tower.upload(ann, job, content=content)

        together(late, lambda job=job: tower.jobs.confirm(ann, [(job, JSON, "json")]))
        tower.once("client2arc")
        (file,) = tower.jobs.one(ann, job).inputs
        (bytes_,) = files_of(tower, job)
        assert (file.size, file.sha256) == (len(bytes_), sha256(bytes_).hexdigest())


# -- quotas ------------------------------------------------------------------------------------------------------------


def test_quotas_hold_over_requests_at_the_same_time(new_client_tower: MakeClientTower) -> None:
    tower = new_client_tower(quota=QUOTA.format(10, 5, 1))
    ann, bob = tower.caller(), tower.caller()
    answers = together(*[lambda: tower.jobs.begin(ann, [()] * 4)] * 5)
    assert sum(isinstance(a, Begun) for one in answers for a in one) == 10
    assert all(isinstance(a, Begun | QuotaExceeded) for one in answers for a in one)
    jobs = [r.id for r in tower.jobs.find(ann, Filter(states=("begun",)))]

    def upload(job: int) -> bool:
        try:
            tower.upload(ann, job)
            return True
        except QuotaExceeded:
            return False

    assert sum(together(*[lambda j=j: upload(j) for j in jobs])) == 5
    (job,) = tower.begun(bob)
    tower.upload(bob, job, "a", b"x" * 600_000)
    with pytest.raises(QuotaExceeded, match="1 MB"):
        tower.upload(bob, job, "b", b"x" * 600_000)
    tower.upload(bob, job, "a", b"x" * 900_000)
    assert len(files_of(tower, job)) == 1


def test_a_submission_that_was_never_confirmed_is_removed_with_its_files(tower: ClientTower) -> None:
    ann = tower.caller()
    (job,) = tower.begun(ann)
    tower.upload(ann, job)
    tower.pass_time(599)
    tower.once("clientstatus")
    assert tower.row(job).state == "begun"
    tower.pass_time(2)
    tower.once("clientstatus")
    assert files_of(tower, job) == []
    assert tower.jobs.usage(ann).jobs == 0
    with pytest.raises(JobNotFound):
        tower.upload(ann, job)


# -- strangers ---------------------------------------------------------------------------------------------------------


def test_jobs_of_others_are_not_there(tower: ClientTower) -> None:
    ann, eve = tower.caller(), tower.caller()
    (begun,) = tower.begun(ann)
    tower.upload(ann, begun)
    (done,) = tower.active(ann)
    tower.say(done, "finished", exit_code=0)
    (active,) = tower.active(ann)
    jobs = tower.jobs
    for job in (begun, active, done):
        for ask in (jobs.one, jobs.results, jobs.explain):
            with pytest.raises(JobNotFound):
                ask(eve, job)
        with pytest.raises(JobNotFound):
            jobs.live(eve, job, "stdout")
        with pytest.raises(JobNotFound), jobs.open_result(eve, job, "stdout.txt"):
            pass
        with pytest.raises(JobNotFound):
            tower.upload(eve, job, "x")
        assert [type(a) for a in jobs.confirm(eve, [(job, PLAIN, "json")])] == [JobNotFound]
        assert [type(a) for a in jobs.confirm_ids(eve, [job])] == [JobNotFound]
        assert jobs.find(eve, Filter(ids=(job,))) == []
        for wish in (jobs.kill, jobs.clean, jobs.fetch, jobs.resubmit):
            (answer,) = wish(eve, Filter(ids=(job,)))
            assert (answer.attempt_id, answer.shown_before, answer.refused) == (None, "", f"there is no job {job}")
            assert wish(eve, Filter()) == []
    assert jobs.find(eve, Filter(states=("begun", "running", "done"))) == []
    assert [tower.row(j).state for j in (begun, active, done)] == ["begun", "active", "finished"]
    assert jobs.usage(eve).jobs == 0
    with jobs.open_result(ann, done, "stdout.txt") as (body, file):
        assert (body.read(), file.size) == (b"hello\n", 6)
    with pytest.raises(OutputMissing), jobs.open_result(ann, done, "../stdout.txt"):
        pass


# -- looking -----------------------------------------------------------------------------------------------------------


def named(tower: ClientTower, ann: Caller, *names: str) -> None:
    tower.jobs.submit(ann, [NewJob(PLAIN.replace("NAME", n), "json") for n in names])


def test_jobs_are_found_by_name_literally(tower: ClientTower) -> None:
    ann = tower.caller()
    named(tower, ann, "a_b", "aXb", "A_B", "100%", "1000", "it's")

    def found(part: str) -> list[str]:
        return [r.name for r in tower.jobs.find(ann, Filter(name=part))]

    assert found("a_b") == ["a_b"]
    assert found("0%") == ["100%"]
    assert found("'") == ["it's"]
    assert found("\ud800") == []


def test_lists_come_page_by_page_in_order(tower: ClientTower) -> None:
    ann = tower.caller()
    named(tower, ann, *"abcdefghij")
    (hidden,) = tower.begun(ann)
    jobs = tower.all(ann)
    tower.jobs.kill(ann, Filter(ids=(jobs[3].id, jobs[7].id)))
    pages, after = [], 0
    while page := tower.jobs.find(ann, Filter(states=("cancelled", "tosubmit", "nonsense")), after=after, limit=3):
        pages.append([r.name for r in page])
        after = page[-1].id
    assert pages == [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"], ["j"]]
    assert [r.name for r in tower.jobs.find(ann, Filter(states=("cancelled",)))] == ["d", "h"]
    assert [r.id for r in tower.jobs.find(ann, Filter(states=("begun",)))] == [hidden]
    assert [r.shown for r in tower.jobs.find(ann, Filter(ids=(hidden, 10**30, -1)))] == ["begun"]
    assert tower.jobs.find(ann, Filter(states=("toclean",))) == []
