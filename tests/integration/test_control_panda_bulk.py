"""Orders on many PanDA jobs at once: these are found by all that is said of them, and each has the order once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy import select as query

from act import faults
from act.control.apply import START, Action, Done, apply, count, place, select
from act.control.jobs import Filter, JobLine, Verb
from act.db import cejobs, moves
from act.db.schema import events
from act.errors import JobError
from act_atlas import db
from tests.integration.panda_operator import ME, WHY, done_to, written
from tests.integration.panda_tower import QUEUE, PandaTower
from tests.power import Crash, Power

# -- finding -----------------------------------------------------------------------------------------------------------


def names(tower: PandaTower, **wanted: Any) -> list[int]:
    return [int(j.name) for j in tower.db.read("t", lambda c: select(c, Filter(**wanted)))]


def test_jobs_are_found_by_all_that_is_said(panda_tower: PandaTower) -> None:
    waiting = panda_tower.taken()
    failed, running = panda_tower.submitted(), panda_tower.submitted()
    panda_tower.say(failed, "failed", error="100% odd_thing")
    panda_tower.say(running, "running", node="wn7.example.org")
    assert names(panda_tower) == [waiting, failed, running]
    assert names(panda_tower, names=(str(running), "nonsense", "client:1")) == [running]
    assert names(panda_tower, states=("failed", "running")) == [failed, running]
    assert names(panda_tower, states=("archived",)) == []
    assert names(panda_tower, error="100% odd_") == [failed]
    assert names(panda_tower, error="100__odd") == []
    assert names(panda_tower, node="wn7") == names(panda_tower, node="wn7.example.org") == [running]
    assert names(panda_tower, node="wn") == []
    assert names(panda_tower, ce="ce1.example", states=("running",)) == [running]
    assert names(panda_tower, ce="elsewhere") == []
    assert names(panda_tower, queue=QUEUE, app="atlas") == [waiting, failed, running]
    assert names(panda_tower, queue="NO") == names(panda_tower, app="client") == names(panda_tower, share="B") == []
    panda_tower.pass_time(7200)
    fresh = panda_tower.taken()
    assert names(panda_tower, older_s=3600.0) == [waiting, failed, running]
    assert names(panda_tower, states=("sent",), older_s=3600.0) != [fresh]


def test_a_long_list_is_read_piece_by_piece(panda_tower: PandaTower) -> None:
    ids = panda_tower.order(5)
    panda_tower.once("getjob")
    wanted = Filter(states=("sent",))
    found: list[JobLine] = []

    def further(connection: Connection) -> list[JobLine]:
        return select(connection, wanted, after=place(found[-1]) if found else START, limit=2)

    while some := panda_tower.db.read("t", further):
        found += some
    assert [int(j.name) for j in found] == ids


# -- orders ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(panda_tower: PandaTower, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Seven waiting jobs, in pages of three."""
    monkeypatch.setattr("act.control.apply.PAGE", 3)
    ids = panda_tower.order(7)
    panda_tower.once("getjob", "panda2arc")
    yield ids


def test_orders_are_given_page_by_page_and_each_job_once(panda_tower: PandaTower, many: list[int]) -> None:
    action = Action(Verb.QUARANTINE, Filter(queue=QUEUE), ME, WHY)
    pages = list(apply(panda_tower.db, action))
    assert [len(p) for p in pages] == [3, 3, 1]
    assert sorted(int(d.job.name) for p in pages for d in p) == sorted(many)
    assert {panda_tower.get(panda_tower.job(i).cejob_id).state for i in many} == {"quarantined"}
    assert count(panda_tower.db, Filter(states=("quarantined",))) == 7


def test_a_dry_run_tells_what_happens_and_changes_nothing(panda_tower: PandaTower, many: list[int]) -> None:
    panda_tower.once("submitter-arc", "pandastatus")
    panda_tower.say(many[0], "running")
    before = everything(panda_tower)
    for verb in (Verb.KILL, Verb.REQUEUE, Verb.QUARANTINE, Verb.PRIORITY, Verb.RESUBMIT, Verb.REPLAY, Verb.CLEAN):
        action = Action(verb, Filter(queue=QUEUE), ME, WHY, 5)
        would = [d for p in apply(panda_tower.db, action, dry_run=True) for d in p]
        assert everything(panda_tower) == before
        if verb is Verb.REQUEUE:
            assert [d for p in apply(panda_tower.db, action) for d in p] == would
            assert [bool(d.refused) for d in would] == [True] + [False] * 6
            before = everything(panda_tower)


def everything(tower: PandaTower) -> list[Any]:
    tables = (db.pandajobs, cejobs.cejobs, cejobs.candidates, events)
    return [tower.db.read("t", lambda c, t=t: c.execute(query(t)).all()) for t in tables]


@pytest.mark.parametrize("phase", ["before", "after"])
def test_an_order_that_broke_off_between_pages_is_given_again(
    panda_tower: PandaTower, many: list[int], monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    power, hits = Power(), []

    def hit(point: str, at: str, error: object = None) -> None:
        hits.append((point, at))
        if hits.count(("tx.control", phase)) == 2 and (point, at) == ("tx.control", phase):
            power.cut_at(0)
        power.hit(point, at)

    action = Action(Verb.KILL, Filter(queue=QUEUE), ME, WHY)
    with monkeypatch.context() as patch:
        patch.setattr(faults, "hit", hit)
        with pytest.raises(Crash):
            list(apply(panda_tower.db, action))
    done: list[Done] = [d for page in apply(panda_tower.db, action) for d in page]
    assert [d.refused for d in done] == [""] * 7
    assert {panda_tower.job(i).state for i in many} == {"tobekilled"}
    assert all(len(written(panda_tower, i, "kill")) == 1 for i in many)


def test_an_order_needs_a_reason(panda_tower: PandaTower) -> None:
    with pytest.raises(JobError, match="say why"):
        list(apply(panda_tower.db, Action(Verb.KILL, Filter(), ME, " ")))


def test_who_did_it_and_why_is_in_the_history_of_every_job(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    done_to(panda_tower, Verb.REQUEUE, pandaid)
    attempt = panda_tower.job(pandaid).cejob_id
    rows = panda_tower.db.read("t", lambda c: cejobs.history(c, "cejob", [attempt]))
    assert (rows[-1].event, rows[-1].who, rows[-1].why) == ("requeue", ME, WHY)
    assert len(WHY) < moves.LONGEST_WHY
