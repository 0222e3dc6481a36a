"""What operators may do to PanDA jobs, and what PanDA and the CE make of it; each pass is made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy import select as query

from act import faults
from act.control.apply import START, Action, Done, apply, count, place, select
from act.control.jobs import Filter, JobLine, Verb
from act.db import cejobs, claims, moves
from act.db.schema import archive, events
from act.errors import JobError
from act_atlas import db
from tests.integration.nordugrid import Storage, leave_report, outputs_of, store_all
from tests.integration.panda_tower import QUEUE, PandaTower
from tests.power import Crash, Power

ME, WHY = "operator-joe", "its site is broken"
SOON = 31 * 60.0  # the next heartbeat


def act(tower: PandaTower, verb: Verb, *pandaids: int, value: Any = None, dry_run: bool = False) -> dict[str, str]:
    """Job -> why it was not done to it, "" if it was."""
    wanted = Filter(names=tuple(str(i) for i in pandaids))
    pages = apply(tower.db, Action(verb, wanted, ME, WHY, value), dry_run=dry_run)
    return {done.job.name: done.refused for page in pages for done in page}


def done_to(tower: PandaTower, verb: Verb, pandaid: int, value: Any = None) -> None:
    assert act(tower, verb, pandaid, value=value) == {str(pandaid): ""}


def refused(tower: PandaTower, verb: Verb, pandaid: int) -> str:
    answer = act(tower, verb, pandaid)[str(pandaid)]
    assert answer
    return answer


def written(tower: PandaTower, pandaid: int, event: str) -> list[tuple[str, str]]:
    """(who, why) of such events of a job."""
    job = tower.job(pandaid).id
    rows = tower.db.read("t", lambda c: cejobs.history(c, db.LEDGER.kind, [job]))
    return [(r.who, r.why) for r in rows if r.event == event]


def attempts(tower: PandaTower, pandaid: int) -> list[str]:
    """States of all attempts of a job."""
    job = tower.job(pandaid).id
    return [r.state for r in tower.db.read("t", lambda c: cejobs.of_application(c, db.SOURCE, job))]


def reported(tower: PandaTower, pandaid: int) -> str:
    return str(tower.panda.board.describe([pandaid])[pandaid]["values"])


def there(tower: PandaTower, pandaid: int) -> Any:
    """The job at the CE."""
    return tower.site.jobs[tower.get(tower.job(pandaid).cejob_id).ce_job_id]


# -- kill --------------------------------------------------------------------------------------------------------------


def test_panda_hears_why_an_operator_killed_a_job(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    done_to(panda_tower, Verb.KILL, pandaid)
    panda_tower.once("canceller-arc")
    panda_tower.say(pandaid, "killed")
    panda_tower.once("heartbeat")
    panda_tower.pass_time(10)
    assert (panda_tower.job(pandaid).state, panda_tower.known(pandaid)) == ("donecancelled", "failed")
    assert WHY in reported(panda_tower, pandaid) and "1144" in reported(panda_tower, pandaid)
    assert written(panda_tower, pandaid, "kill") == [(ME, WHY)]
    done_to(panda_tower, Verb.KILL, pandaid)  # once more: it is so


def test_a_job_without_an_attempt_ends_at_once(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.taken()
    done_to(panda_tower, Verb.KILL, pandaid)
    panda_tower.once("panda2arc", "heartbeat")
    assert (panda_tower.job(pandaid).state, panda_tower.site.jobs) == ("donecancelled", {})
    assert WHY in reported(panda_tower, pandaid)


def test_a_job_that_ended_by_itself_is_not_killed(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    panda_tower.say(pandaid, "finished", exit_code=0)
    assert "ended" in refused(panda_tower, Verb.KILL, pandaid)


# -- requeue -----------------------------------------------------------------------------------------------------------


def test_a_requeued_job_leaves_its_ce_and_goes_to_one_again(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    first = there(panda_tower, pandaid)
    done_to(panda_tower, Verb.REQUEUE, pandaid)
    panda_tower.once("canceller-arc")
    panda_tower.say(pandaid, "killed")
    assert attempts(panda_tower, pandaid) == ["toclean"]
    panda_tower.once("validator", "panda2arc", "submitter-arc", "cleaner-arc", "pandastatus")
    assert attempts(panda_tower, pandaid) == ["archived", "submitted"]
    job = panda_tower.job(pandaid)
    assert (job.state, job.attempts) == ("starting", 1)  # what an operator wants does not count against its limit
    assert there(panda_tower, pandaid) is not first and first.runs == 0
    panda_tower.pass_time(SOON)
    panda_tower.once("heartbeat")
    assert panda_tower.known(pandaid) == "starting"  # for PanDA nothing has happened


def test_a_requeued_job_that_began_to_run_after_all_is_not_run_again(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    done_to(panda_tower, Verb.REQUEUE, pandaid)
    panda_tower.once("canceller-arc")
    panda_tower.say(pandaid, "killed", node="wn7")
    panda_tower.once("validator", "panda2arc", "submitter-arc", "heartbeat")
    assert panda_tower.job(pandaid).state == "donefailed"
    assert len(panda_tower.site.jobs) == 1


def test_a_job_that_panda_kills_while_it_is_requeued_ends(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    done_to(panda_tower, Verb.REQUEUE, pandaid)
    panda_tower.panda.board.kill(pandaid)
    panda_tower.pass_time(SOON)
    panda_tower.once("heartbeat", "canceller-arc")
    panda_tower.say(pandaid, "killed")
    panda_tower.once("validator", "panda2arc", "submitter-arc", "heartbeat")
    assert (panda_tower.job(pandaid).state, len(panda_tower.site.jobs)) == ("donecancelled", 1)


def test_a_running_job_is_not_requeued(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    panda_tower.say(pandaid, "running")
    assert "must not run twice" in refused(panda_tower, Verb.REQUEUE, pandaid)


# -- quarantine, priority, move ----------------------------------------------------------------------------------------


def test_panda_hears_of_a_quarantined_job_until_it_is_released(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.taken()
    panda_tower.once("panda2arc", "heartbeat")
    done_to(panda_tower, Verb.QUARANTINE, pandaid)
    panda_tower.once("submitter-arc", "pandastatus")
    panda_tower.pass_time(SOON)
    panda_tower.once("heartbeat")
    assert (panda_tower.known(pandaid), panda_tower.site.jobs) == ("starting", {})
    done_to(panda_tower, Verb.RELEASE, pandaid)
    panda_tower.once("submitter-arc")
    assert attempts(panda_tower, pandaid) == ["submitted"]


def test_the_priority_holds_for_attempts_to_come(panda_tower: PandaTower) -> None:
    unborn, waiting = panda_tower.taken(), panda_tower.taken()
    done_to(panda_tower, Verb.PRIORITY, unborn, 9000)
    panda_tower.once("panda2arc")
    done_to(panda_tower, Verb.PRIORITY, waiting, 8000)
    ranks = [panda_tower.get(panda_tower.job(i).cejob_id).priority for i in (unborn, waiting)]
    assert ranks == [9000, 8000]
    assert written(panda_tower, unborn, "priority")[0][0] == ME
    panda_tower.once("submitter-arc")
    assert "the CE has its priority" in refused_priority(panda_tower, waiting)


def refused_priority(tower: PandaTower, pandaid: int) -> str:
    return act(tower, Verb.PRIORITY, pandaid, value=1)[str(pandaid)]


def test_a_moved_job_goes_to_the_new_ce_queue_only(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.taken()
    panda_tower.once("panda2arc")
    away = panda_tower.place("elsewhere", flavour="arc")
    done_to(panda_tower, Verb.MOVE, pandaid, [away])
    lanes = panda_tower.db.read("t", lambda c: claims.lanes(c, "arc"))
    assert [ce_id for ce_id, _ in lanes] == [panda_tower.ce_of(away)]


# -- resubmit ----------------------------------------------------------------------------------------------------------


def test_a_true_pilot_s_job_is_tried_again_by_panda_only(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    assert "has not failed" in refused(panda_tower, Verb.RESUBMIT, pandaid)
    panda_tower.say(pandaid, "failed", error="node died")
    assert "PanDA tries it again" in refused(panda_tower, Verb.RESUBMIT, pandaid)


def test_a_job_that_the_tower_speaks_for_is_tried_again_while_panda_knows_nothing(
    nordugrid_tower: PandaTower,
) -> None:
    tower = nordugrid_tower
    pandaid = tower.submitted()
    first = there(tower, pandaid)
    tower.say(pandaid, "failed", error="something odd", exit_code=1)
    tower.once("validator")
    assert tower.job(pandaid).state == "failed"
    done_to(tower, Verb.RESUBMIT, pandaid)
    tower.once("heartbeat", "validator", "panda2arc", "submitter-arc", "pandastatus")
    assert tower.job(pandaid).state == "starting"
    assert there(tower, pandaid) is not first
    assert written(tower, pandaid, "resubmit") == [(ME, WHY)]
    assert tower.known(pandaid) == "starting"


def test_what_the_failed_attempt_has_stored_goes_before_the_next_one_runs(
    nordugrid_tower: PandaTower, storage: Storage
) -> None:
    tower = nordugrid_tower
    pandaid = tower.submitted()
    store_all(tower, storage, pandaid)
    leave_report(tower, storage, pandaid, state="failed", pilotErrorCode=1305, pilotErrorDiag="payload failed")
    tower.say(pandaid, "failed", error="payload failed", exit_code=65)
    assert tower.job(pandaid).state == "toclean"
    done_to(tower, Verb.RESUBMIT, pandaid)
    for _ in range(4):
        tower.once("validator")
    assert storage.names() & set(outputs_of(tower, pandaid)) == set()
    tower.once("panda2arc", "submitter-arc", "pandastatus")
    assert attempts(tower, pandaid)[-1] == "submitted"


def test_a_job_is_not_tried_again_once_somebody_may_have_told_panda(nordugrid_tower: PandaTower) -> None:
    tower = nordugrid_tower
    pandaid = tower.submitted()
    tower.say(pandaid, "failed", error="something odd", exit_code=1)
    tower.once("validator")
    tower.db.run("t", lambda c: db.take_due(c, limit=10, again_s=60))  # and died before it could tell what came of it
    assert "may have heard" in refused(tower, Verb.RESUBMIT, pandaid)
    tower.pass_time(61)
    assert "may have heard" in refused(tower, Verb.RESUBMIT, pandaid)


# -- replay ------------------------------------------------------------------------------------------------------------


def test_panda_hears_again_of_a_living_job_at_once(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    before = panda_tower.panda.board.describe([pandaid])[pandaid]["updates"]["starting"]
    panda_tower.once("heartbeat")
    done_to(panda_tower, Verb.REPLAY, pandaid)
    panda_tower.once("heartbeat")
    assert panda_tower.panda.board.describe([pandaid])[pandaid]["updates"]["starting"] == before + 1
    panda_tower.say(pandaid, "running")
    assert "its pilot speaks" in refused(panda_tower, Verb.REPLAY, pandaid)


def test_an_end_is_told_again_only_if_panda_does_not_know_it(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    panda_tower.say(pandaid, "failed", error="node died")
    panda_tower.once("heartbeat")
    panda_tower.pass_time(10)

    def updates() -> int:
        return int(sum(panda_tower.panda.board.describe([pandaid])[pandaid]["updates"].values()))

    before = updates()
    done_to(panda_tower, Verb.REPLAY, pandaid)
    panda_tower.once("heartbeat")
    assert (updates(), panda_tower.job(pandaid).due) == (before, None)
    forget(panda_tower, pandaid)
    done_to(panda_tower, Verb.REPLAY, pandaid)
    panda_tower.once("heartbeat")
    assert updates() == before + 1 and "node died" in reported(panda_tower, pandaid)
    assert panda_tower.job(pandaid).state == "donefailed"
    assert written(panda_tower, pandaid, "replay") == [(ME, WHY)] * 2
    assert [why for _, why in written(panda_tower, pandaid, "reported")] == [
        "PanDA took the report", "PanDA knows", "PanDA took the report",
    ]  # fmt: skip


def forget(tower: PandaTower, pandaid: int) -> None:
    """PanDA's database was put back to an earlier day."""
    job = tower.panda.board._jobs[pandaid]
    job.status = "running"


# -- clean -------------------------------------------------------------------------------------------------------------


def test_an_ended_job_goes_to_the_archive_at_once(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    assert "not over" in refused(panda_tower, Verb.CLEAN, pandaid)
    panda_tower.say(pandaid, "failed", error="node died")
    panda_tower.once("heartbeat")
    assert "still being cleaned" in refused(panda_tower, Verb.CLEAN, pandaid)
    panda_tower.once("pandastatus", "cleaner-arc")
    done_to(panda_tower, Verb.CLEAN, pandaid)
    (row,) = panda_tower.db.read("t", lambda c: c.execute(query(archive)).all())
    assert ["clean", ME, WHY] in [[e[2], e[4], e[5]] for e in row.history["job"]["events"]]
    assert panda_tower.db.read("t", lambda c: c.execute(query(events)).all()) == []
    assert act(panda_tower, Verb.CLEAN, pandaid) == {}


# -- in bulk -----------------------------------------------------------------------------------------------------------


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


# -- looking -----------------------------------------------------------------------------------------------------------


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


def test_who_did_it_and_why_is_in_the_history_of_every_job(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.submitted()
    done_to(panda_tower, Verb.REQUEUE, pandaid)
    attempt = panda_tower.job(pandaid).cejob_id
    rows = panda_tower.db.read("t", lambda c: cejobs.history(c, "cejob", [attempt]))
    assert (rows[-1].event, rows[-1].who, rows[-1].why) == ("requeue", ME, WHY)
    assert len(WHY) < moves.LONGEST_WHY
