"""Another attempt of a PanDA job, as operators want it: only if nothing runs twice and PanDA knows of no end."""

from __future__ import annotations

from act.control.jobs import Verb
from act_atlas import db
from tests.integration.nordugrid import Storage, leave_report, outputs_of, store_all
from tests.integration.panda_operator import ME, SOON, WHY, attempts, done_to, refused, there, written
from tests.integration.panda_tower import PandaTower

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
