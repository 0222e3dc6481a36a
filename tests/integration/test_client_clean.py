"""Jobs that ended are removed with all that they have: when their owner says so, in time, and after a crash."""

from __future__ import annotations

import pytest

from act.client import db
from act.client.daemons.sweep import Sweep
from act.client.model import Filter, JobNotFound
from act.db import meta
from act.db.schema import cejobs, events, jobspecs, results
from act.errors import StorageUnavailable
from act.storage import Store
from tests.integration.beats import CLIENT_DAEMONS, beat
from tests.integration.client_tower import ClientTower
from tests.truth import assert_explained


def left(client_tower: ClientTower) -> list[int]:
    """Rows of all tables that jobs have, and files of the store."""
    tables = (cejobs, jobspecs, events, results)
    return [*(len(client_tower.db.read("t", lambda c, t=t: c.execute(t.select()).all())) for t in tables),
            len(client_tower.store.list())]  # fmt: skip


def test_cleaning_leaves_nothing(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    empty = left(client_tower)
    jobs = client_tower.active(ann, 3)
    client_tower.say(jobs[0], "failed", error="it broke")
    client_tower.jobs.resubmit(ann, Filter(ids=(jobs[0],)))
    client_tower.jobs.live(ann, jobs[1], "stdout")
    client_tower.settle(5)
    assert client_tower.jobs.usage(ann).files == 3 + 4
    assert len(client_tower.jobs.clean(ann, Filter())) == 3
    assert client_tower.all(ann) == []
    with pytest.raises(JobNotFound):
        client_tower.jobs.one(ann, jobs[0])
    client_tower.settle(3)
    assert left(client_tower) == empty
    assert (client_tower.jobs.usage(ann).jobs, client_tower.jobs.usage(ann).mb) == (0, 0)


def test_ended_jobs_are_kept_for_so_many_days(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (job,) = client_tower.active(ann)
    client_tower.settle(4)
    client_tower.pass_time(1.9 * 86400)
    client_tower.once("clientstatus")
    assert client_tower.shown(ann, job) == ["done"]
    client_tower.pass_time(0.2 * 86400)
    client_tower.once("clientstatus")
    assert client_tower.all(ann) == []
    assert client_tower.store.list() == []


def test_a_job_cannot_be_cleaned_before_its_end(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    jobs = (*client_tower.active(ann), *client_tower.sent(ann))
    answers = client_tower.jobs.clean(ann, Filter(ids=jobs))
    assert [a.refused for a in answers] == ["it has not ended: kill it first"] * 2
    assert client_tower.jobs.clean(ann, Filter()) == []


def test_a_job_whose_files_cannot_be_removed_is_not_in_the_way_of_others(
    client_tower: ClientTower, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = client_tower.caller()
    stuck, other = client_tower.begun(ann, 2)
    client_tower.upload(ann, stuck)
    client_tower.jobs.kill(ann, Filter(ids=(stuck, other)))
    remove = Store.remove

    def fail(store: Store, name: str) -> None:
        if name == f"inputs/0/{stuck}":
            raise StorageUnavailable("no permission")
        remove(store, name)

    monkeypatch.setattr(Store, "remove", fail)
    client_tower.once("clientstatus")
    assert client_tower.jobs.usage(ann).jobs == 1
    beat(client_tower, *CLIENT_DAEMONS)
    assert_explained(client_tower.environment, f"client:{stuck}", "it rests before it is tried again")
    monkeypatch.undo()
    client_tower.pass_time(601)
    client_tower.once("clientstatus")
    assert client_tower.jobs.usage(ann).jobs == 0


def _parents(client_tower: ClientTower) -> int:
    """After so many looks each folder of the store with a thousand others in it has had its turn."""
    return client_tower.db.read("highest", lambda c: meta.highest_cejob(c) + db.highest_job(c)) // 1000 + 1


def test_files_that_a_crash_left_are_found(client_tower: ClientTower) -> None:
    ann = client_tower.caller()
    (kept,) = client_tower.sent(ann)
    before = client_tower.store.list()
    (gone,) = client_tower.begun(ann)
    client_tower.once("client2arc")
    client_tower.jobs.kill(ann, Filter(ids=(gone,)))
    client_tower.once("clientstatus")
    (later,) = client_tower.begun(ann)
    for name in (f"inputs/0/{gone}/x", "results/0/0/out", "live/0/0/out", f"inputs/0/{later + 1}/of-another-database"):
        with client_tower.store.write(name) as file:
            file.write(b"left")
    sweep = Sweep(client_tower.db, client_tower.store)
    for _ in range(_parents(client_tower)):
        sweep.one_more()
    assert client_tower.store.list() == sorted([*before, f"inputs/0/{later + 1}/of-another-database"])
    assert kept != gone
