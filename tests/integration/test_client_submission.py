"""Jobs come in: nothing is lost or doubled however often a request is repeated, and what is bad is said so."""

from __future__ import annotations

import pytest

from act.client.identity import Forbidden
from act.client.model import Begun, Confirmed, JobNotFound, NewJob, Submitted, WrongState
from act.errors import BadJobSpec, DatabaseBusy
from tests.integration.client_tower import JSON, PLAIN, ClientTower
from tests.kit import together

# -- beginning ---------------------------------------------------------------------------------------------------------


def test_a_submission_with_the_same_key_gives_the_same_jobs(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    first = client_tower.begun(ann, 3, key="k")
    assert client_tower.begun(ann, 3, key="k") == first
    assert client_tower.begun(ann, 5, key="k")[:3] == first
    assert client_tower.begun(ann, 3, key="K") != first
    assert client_tower.jobs.usage(ann).jobs == 8


def test_keys_are_everybodys_own(client_tower: ClientTower) -> None:
    ann, bob = client_tower.caller(), client_tower.caller()
    assert set(client_tower.begun(ann, 2, key="k")) & set(client_tower.begun(bob, 2, key="k")) == set()


def test_replays_at_the_same_time_give_the_same_jobs(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    answers = together(*[lambda: client_tower.begun(ann, 20, key="k")] * 4)
    assert answers == [answers[0]] * 4
    assert client_tower.jobs.usage(ann).jobs == 20


def test_a_lost_answer_is_given_again(client_tower: ClientTower, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = client_tower.caller()
    monkeypatch.setenv("ACT_FAULT", "tx.begin:after:fail")
    with pytest.raises(DatabaseBusy):
        client_tower.begun(ann, 3, key="k")
    assert len(client_tower.begun(ann, 3, key="k")) == 3
    assert client_tower.jobs.usage(ann).jobs == 3


def test_a_key_stands_for_one_request(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (first,) = client_tower.jobs.submit(ann, [NewJob(PLAIN, "json")], key="k")
    assert isinstance(first, Submitted)
    assert client_tower.jobs.submit(ann, [NewJob(PLAIN, "json")], key="k") == [first]
    (other,) = client_tower.jobs.submit(ann, [NewJob(PLAIN.replace("NAME", "x"), "json")], key="k")
    assert isinstance(other, WrongState) and "new key" in str(other)


def test_jobs_need_a_credential(client_tower: ClientTower) -> None:
    with pytest.raises(Forbidden, match="hand a proxy over"):
        client_tower.begun(client_tower.caller(credential=False))


def test_ces_are_chosen_by_name_or_location_from_those_of_the_callers_groups(client_tower: ClientTower) -> None:
    few = client_tower.caller("few")
    answers = client_tower.jobs.begin(few, [["one"], ["https://CE1.example.org/grid"], ["default"], [], ["two"]])
    assert [isinstance(a, Begun) for a in answers] == [True] * 4 + [False]
    assert "Unknown cluster two: you may use one (https://ce1.example.org:443/grid)" in str(answers[4])
    assert [p.name for p in client_tower.jobs.places(few)] == ["one"]


# -- confirming --------------------------------------------------------------------------------------------------------


def test_confirming_twice_is_the_same_as_once(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.begun(ann)
    client_tower.upload(ann, job)
    for _ in range(2):
        assert client_tower.jobs.confirm(ann, [(job, JSON, "json")]) == [Confirmed(job, "tosubmit", "NAME")]
    (other,) = client_tower.jobs.confirm(ann, [(job, PLAIN, "json")])
    assert isinstance(other, WrongState)
    client_tower.once("client2arc")
    assert isinstance(client_tower.jobs.confirm(ann, [(job, JSON, "json")])[0], Confirmed)
    assert len(client_tower.jobs.one(ann, job).attempts) == 1


def test_of_two_confirmations_at_the_same_time_one_counts(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    jobs = client_tower.begun(ann, 20)
    texts = [PLAIN.replace("NAME", str(n)) for n in range(3)]
    answers = together(*[lambda t=t: client_tower.jobs.confirm(ann, [(j, t, "json") for j in jobs]) for t in texts])
    for n, job in enumerate(jobs):
        won = [t for t, answer in zip(texts, answers, strict=True) if isinstance(answer[n], Confirmed)]
        assert won == [client_tower.row(job).description]


def test_a_job_without_its_files_is_not_confirmed_and_can_be_later(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.begun(ann)
    (answer,) = client_tower.jobs.confirm(ann, [(job, JSON, "json")])
    assert isinstance(answer, BadJobSpec) and "Input file run.sh missing" in str(answer)
    client_tower.upload(ann, job)
    assert isinstance(client_tower.jobs.confirm(ann, [(job, JSON, "json")])[0], Confirmed)


def test_one_bad_job_is_not_in_the_way_of_others(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    good, bad = client_tower.begun(ann, 2)
    answers = client_tower.jobs.confirm(ann, [(bad, "{", "json"), (good, PLAIN, "json"), (10**30, PLAIN, "json")])
    assert [type(a) for a in answers] == [BadJobSpec, Confirmed, JobNotFound]


def test_jobs_are_submitted_with_their_descriptions_at_once(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    items = [NewJob(PLAIN, "json"), NewJob(JSON, "json", inputs=("run.sh",)), NewJob("{", "json"), NewJob(JSON, "json")]
    plain, with_file, *bad = client_tower.jobs.submit(ann, items)
    assert isinstance(plain, Submitted) and plain.state == "tosubmit" and plain.name == "NAME"
    assert isinstance(with_file, Submitted) and with_file.state == "begun"
    assert [type(b) for b in bad] == [BadJobSpec, BadJobSpec]
    client_tower.upload(ann, with_file.id)
    assert client_tower.jobs.confirm_ids(ann, [with_file.id]) == [Confirmed(with_file.id, "tosubmit", "NAME")]
    assert client_tower.jobs.usage(ann).jobs == 2


def test_a_description_is_for_the_ces_that_understand_it(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.begun(ann)
    client_tower.jobs.confirm(ann, [(job, PLAIN, "json")])
    assert (client_tower.row(job).ces, client_tower.row(job).flavour) == (["one", "two"], "arc")
    (pool,) = (b.id for b in client_tower.jobs.begin(ann, [["pool", "one"]]) if isinstance(b, Begun))
    client_tower.jobs.confirm(ann, [(pool, PLAIN, "json")])
    assert (client_tower.row(pool).ces, client_tower.row(pool).flavour) == (["pool"], "condor")


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
def test_a_description_cannot_mean_files_of_the_tower(client_tower: ClientTower, text: str, says: str) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.begun(ann)
    (answer,) = client_tower.jobs.confirm(ann, [(job, text, "json")])
    assert isinstance(answer, BadJobSpec) and says in str(answer)
    assert client_tower.row(job).state == "begun"


def test_an_unknown_language_is_said_so(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (answer,) = client_tower.jobs.submit(ann, [NewJob(PLAIN, "klingon")])
    assert isinstance(answer, BadJobSpec) and "klingon" in str(answer)
