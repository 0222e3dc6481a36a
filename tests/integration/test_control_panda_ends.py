"""Ends of PanDA jobs: an operator makes them, has them told again, and sends them to the archive."""

from __future__ import annotations

from sqlalchemy import select as query

from act.control.jobs import Verb
from act.db.schema import archive, events
from tests.integration.panda_operator import ME, WHY, act, done_to, refused, reported, written
from tests.integration.panda_tower import PandaTower

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
