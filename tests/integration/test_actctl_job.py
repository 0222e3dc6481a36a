"""actctl job and actctl archive: what operators type, read, and get as an exit code."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from act.cli.actctl import main
from act.db import cejobs
from act_atlas import db
from tests.integration.panda_tower import QUEUE, PandaTower

WHY = ("--why", "the site is broken")


@pytest.fixture
def tower(panda_tower: PandaTower, monkeypatch: pytest.MonkeyPatch) -> PandaTower:
    monkeypatch.setenv("SUDO_USER", "joe")
    return panda_tower


def actctl(tower: PandaTower, *arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], env=tower.environment, catch_exceptions=False)


def said(result: Result, code: int = 0) -> str:
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def state(tower: PandaTower, pandaid: int) -> str:
    return str(tower.get(tower.job(pandaid).cejob_id).state)


def test_a_dry_run_shows_the_jobs_and_the_order_is_then_carried_out(tower: PandaTower) -> None:
    ids = tower.order(3)
    tower.once("getjob", "panda2arc")
    order = ("job", "quarantine", "--queue", QUEUE, *WHY)
    told = said(actctl(tower, *order, "--dry-run"))
    assert all(str(i) in told for i in ids) and "would be done to 3 jobs" in told
    assert state(tower, ids[0]) == "tosubmit"
    assert said(actctl(tower, *order)) == "done to 3 jobs"
    assert {state(tower, i) for i in ids} == {"quarantined"}
    assert said(actctl(tower, *order)) == "done to 3 jobs"  # twice is harmless
    assert str(ids[1]) in said(actctl(tower, "job", "list", "--state", "quarantined"))
    rows = tower.db.read("t", lambda c: cejobs.history(c, "cejob", [tower.job(ids[0]).cejob_id]))
    assert [(r.who, r.why) for r in rows if r.event == "quarantine"] == [("operator-joe", WHY[1])]
    assert said(actctl(tower, "job", "release", *ids, *WHY)) == "done to 3 jobs"


def test_what_cannot_be_done_is_told_with_its_reason_and_the_exit_code(tower: PandaTower) -> None:
    running, waiting = tower.submitted(), tower.submitted()
    tower.say(running, "running")
    told = said(actctl(tower, "job", "requeue", running, waiting, 77, *WHY), code=1)
    assert "done to 1 job" in told and f"not to 1 job, such as {running}: it is 'running' at a CE" in told
    assert "there is no job 77" in told


def test_a_verb_may_need_a_value(tower: PandaTower) -> None:
    (pandaid,) = tower.order()
    tower.once("getjob", "panda2arc")
    said(actctl(tower, "job", "priority", 7000, pandaid, *WHY))
    assert tower.get(tower.job(pandaid).cejob_id).priority == 7000
    url = tower.site.url
    assert said(actctl(tower, "job", "move", "--to", url, "default", "--state", "tosubmit", *WHY)) == "done to 1 job"
    assert "no CE 'https://nowhere.example.org'" in said(
        actctl(tower, "job", "move", "--to", "https://nowhere.example.org", "x", pandaid, *WHY), code=1
    )


@pytest.mark.parametrize(("arguments", "code", "told"), [
    (("kill", *WHY), 2, "say which jobs"),
    (("kill", "--all", "--queue", "Q", *WHY), 2, "--all means every job"),
    (("kill", "--all"), 2, "--why"),
    (("kill", "--all", "--why", " "), 1, "say why"),
    (("kill", "--state", "runing", *WHY), 1, "no job is ever 'runing' (known: sent"),
    (("kill", "--app", "harvester", *WHY), 1, "(known: atlas, client)"),
    (("kill", "--older", "soon", *WHY), 1, "say 20min, 2h or 1d"),
    (("kill", "--share", "nobody", *WHY), 1, "no share 'nobody'"),
    (("priority", "high", "--all", *WHY), 2, "high"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    tower: PandaTower, arguments: tuple[str, ...], code: int, told: str
) -> None:
    pandaid = tower.taken()
    assert told in said(actctl(tower, "job", *arguments), code)
    assert tower.job(pandaid).state == "sent"


def test_nothing_to_do_is_no_error(tower: PandaTower) -> None:
    assert said(actctl(tower, "job", "kill", "--queue", "EMPTY", *WHY)) == "done to 0 jobs"


def test_the_archive_is_looked_into_and_pruned(tower: PandaTower) -> None:
    pandaid = tower.submitted()
    tower.say(pandaid, "failed", error="node died")
    tower.once("heartbeat", "pandastatus", "cleaner-arc")
    assert said(actctl(tower, "job", "clean", "--older", "0s", "--state", "donefailed", *WHY)) == "done to 1 job"
    assert str(pandaid) in said(actctl(tower, "archive", "find", "--queue", QUEUE, "--newer", "1h"))
    assert "none" in said(actctl(tower, "archive", "find", pandaid, "--older", "1h"))
    assert "would delete 0 jobs" in said(actctl(tower, "archive", "prune", "--older", "1d", *WHY, "--dry-run"))
    tower.pass_time(2 * 86400)
    assert "would delete 1 job" in said(actctl(tower, "archive", "prune", "--older", "1d", *WHY, "--dry-run"))
    assert "deleted 1 job" in said(actctl(tower, "archive", "prune", "--older", "1d", *WHY))
    assert "none" in said(actctl(tower, "archive", "find"))
    rows = tower.db.read("t", lambda c: cejobs.history(c, "archive", [0]))
    assert [(r.who, r.event) for r in rows] == [("operator-joe", "prune")] and WHY[1] in rows[0].why
    assert tower.db.read("t", lambda c: db.find(c, pandaid)) is None
