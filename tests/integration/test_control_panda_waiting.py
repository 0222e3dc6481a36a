"""What operators may do to PanDA jobs that wait: quarantine, another priority, other CEs."""

from __future__ import annotations

from act.control.jobs import Verb
from act.db import claims
from tests.integration.panda_operator import ME, SOON, attempts, done_to, refused, written
from tests.integration.panda_tower import PandaTower


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
    assert "the CE has its priority" in refused(panda_tower, Verb.PRIORITY, waiting, 1)


def test_a_moved_job_goes_to_the_new_ce_queue_only(panda_tower: PandaTower) -> None:
    pandaid = panda_tower.taken()
    panda_tower.once("panda2arc")
    away = panda_tower.place("elsewhere", flavour="arc")
    done_to(panda_tower, Verb.MOVE, pandaid, [away])
    lanes = panda_tower.db.read("t", lambda c: claims.lanes(c, "arc"))
    assert [ce_id for ce_id, _ in lanes] == [panda_tower.ce_of(away)]
