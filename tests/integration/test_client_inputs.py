"""Files of jobs come in: whole or not at all, under safe names, within quotas, and until the job is confirmed."""

from __future__ import annotations

import io
from contextlib import suppress
from hashlib import sha256

import pytest

from act.client.model import Begun, Filter, JobNotFound, QuotaExceeded, TooLarge, WrongState
from act.errors import BadJobSpec
from tests.integration.client_tower import JSON, QUOTA, ClientTower, MakeClientTower
from tests.kit import together


def files_of(client_tower: ClientTower, job: int) -> list[bytes]:
    """What the store has of a job's inputs."""
    return [client_tower.store.read(name) for name in client_tower.store.list(f"inputs/{job // 1000}/{job}")]


def test_uploaded_files_are_what_the_attempt_gets(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.begun(ann)
    client_tower.upload(ann, job, content=b"old")
    stored = client_tower.jobs.upload(ann, job, "run.sh", io.BytesIO(b"new one"), sha256=sha256(b"new one").hexdigest())
    assert (stored.size, stored.sha256) == (7, sha256(b"new one").hexdigest())
    assert files_of(client_tower, job) == [b"new one"]
    client_tower.jobs.confirm(ann, [(job, JSON, "json")])
    client_tower.once("client2arc", "submitter-arc")
    (there,) = (job for site in client_tower.sites for job in site.jobs.values())
    (file,) = there.spec.inputs
    assert (client_tower.store.read(file.stored), file.size, file.source) == (b"new one", 7, "")


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "", "a/../b", "x" * 201, "/".join("a" * 21), "a\nb", "\ud800"])
def test_names_that_lead_anywhere_are_refused(client_tower: ClientTower, name: str) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.begun(ann)
    with pytest.raises(BadJobSpec):
        client_tower.upload(ann, job, name)
    assert files_of(client_tower, job) == []


def test_names_that_differ_in_anything_are_different_files(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.begun(ann)
    for name in ("a", "A", "a "):
        client_tower.upload(ann, job, name, name.encode())
    assert sorted(files_of(client_tower, job)) == [b"A", b"a", b"a "]


class Broken(io.RawIOBase):
    """A client that goes away."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("gone")


def test_what_did_not_come_whole_is_not_there(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.begun(ann)
    with pytest.raises(BadJobSpec, match="did not come whole: gone"):
        client_tower.jobs.upload(ann, job, "run.sh", Broken())  # type: ignore[arg-type]
    with pytest.raises(BadJobSpec, match="damaged"):
        client_tower.jobs.upload(ann, job, "run.sh", io.BytesIO(b"x"), sha256="0" * 64)
    with pytest.raises(TooLarge, match="larger than 1 MB"):
        client_tower.upload(ann, job, "big", b"x" * 1_000_001)
    assert files_of(client_tower, job) == []
    assert client_tower.jobs.usage(ann).files == 0


def test_a_job_has_so_many_files_at_most(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.begun(ann)
    for name in "abc":
        client_tower.upload(ann, job, name)
    client_tower.upload(ann, job, "a", b"again")
    with pytest.raises(QuotaExceeded, match="3 files"):
        client_tower.upload(ann, job, "d")
    assert len(files_of(client_tower, job)) == 3


def test_files_of_a_confirmed_job_cannot_be_changed(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.sent(ann)
    with pytest.raises(WrongState):
        client_tower.upload(ann, job, content=b"other")
    assert files_of(client_tower, job) == [b"#!/bin/sh\n"]


def test_a_file_that_comes_while_the_job_is_confirmed_counts_whole_or_not_at_all(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    for content in (b"a" * 10, b"b" * 1000, b"c" * 5000):
        (job,) = client_tower.begun(ann)
        client_tower.upload(ann, job)

        def late(job: int = job, content: bytes = content) -> None:
            with suppress(WrongState):
                client_tower.upload(ann, job, content=content)

        together(late, lambda job=job: client_tower.jobs.confirm(ann, [(job, JSON, "json")]))
        client_tower.once("client2arc")
        (file,) = client_tower.jobs.one(ann, job).inputs
        (bytes_,) = files_of(client_tower, job)
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


def test_a_submission_that_was_never_confirmed_is_removed_with_its_files(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.begun(ann)
    client_tower.upload(ann, job)
    client_tower.pass_time(540)
    client_tower.once("clientstatus")
    assert client_tower.row(job).state == "begun"
    client_tower.pass_time(61)
    client_tower.once("clientstatus")
    assert files_of(client_tower, job) == []
    assert client_tower.jobs.usage(ann).jobs == 0
    with pytest.raises(JobNotFound):
        client_tower.upload(ann, job)
