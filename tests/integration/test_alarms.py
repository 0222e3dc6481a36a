"""What somebody has to look at is read from the database as it is, on each kind of server."""

from __future__ import annotations

from pathlib import Path

import pytest

from act.alarms import ask
from act.alarms.alarm import Alarm
from act.config import CoreConfig, load_core
from act.daemons import registry
from act.db import ces, lanes, meta
from act.db.engine import Database
from act.errors import CredentialError, SourceUnreachable
from act.interfaces import plugins
from tests.integration.beats import beat
from tests.integration.panda_tower import PandaTower
from tests.kit import Rows
from tests.tower import pass_time


class Asked(Rows):
    """A tower whose daemons run, as far as the database knows."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.config = CoreConfig.model_validate({}, context={"base": Path()})
        beat(self, "status-fake", "reconciler-fake")

    def alarms(self) -> list[Alarm]:
        return self.db.snapshot("t", lambda c: ask.ask(c, self.config, applications=()))

    def names(self) -> list[str]:
        return [a.name for a in self.alarms()]


@pytest.fixture
def rows(database: Database) -> Asked:
    return Asked(database)


def break_down(rows: Rows, ce_id: int, times: int = 3) -> None:
    """The CE fails on this host."""
    for _ in range(times):
        rows.db.run("t", lambda c: ces.failed(c, ce_id, "here", "refused", threshold=3, open_s=60, max_open_s=60))


def test_a_tower_without_trouble_has_no_alarm(rows: Asked) -> None:
    rows.at_ce(2, "running", place=rows.place(), proxy_id=rows.proxy())
    assert rows.alarms() == []


def test_a_ce_that_is_down_is_told_if_jobs_are_there_or_may_come(rows: Asked) -> None:
    with_jobs, wanted, idle = (rows.place(name) for name in ("ce1", "ce2", "ce3"))
    rows.at_ce(1, "running", place=with_jobs, proxy_id=rows.proxy())
    rows.attempts(1, [wanted], rows.proxy())
    for place in (with_jobs, wanted, idle):
        break_down(rows, rows.ce_of(place))
    assert [a.about for a in rows.alarms()] == [f"https://ce{n}.example.org/arex" for n in (1, 2)]


def test_a_ce_that_refuses_a_credential_is_told_until_it_answers(rows: Asked) -> None:
    place, proxy_id = rows.place(), rows.proxy()
    rows.at_ce(1, "running", place=place, proxy_id=proxy_id)
    ce_id = rows.ce_of(place)
    rows.db.run("t", lambda c: lanes.pause(c, ce_id, proxy_id, 1.0, "403: not mapped"))
    (found,) = rows.alarms()
    assert (found.name, found.about) == ("ce_credential", "https://ce1.example.org/arex")
    assert "role 'production': 403: not mapped" in found.text
    rows.db.run("t", lambda c: lanes.polled(c, ce_id, proxy_id, 60))
    assert rows.alarms() == []


def test_attempts_beyond_their_limit_are_told_unless_their_ce_is_silent(rows: Asked) -> None:
    place, proxy_id = rows.place(), rows.proxy()
    rows.at_ce(3, "tofetch", place=place, proxy_id=proxy_id)
    pass_time(rows.db, 3500)
    beat(rows, "status-fake", "reconciler-fake")
    assert rows.names() == []
    rows.db.run("t", lambda c: lanes.polled(c, rows.ce_of(place), proxy_id, 60))
    pass_time(rows.db, 900)
    beat(rows, "status-fake", "reconciler-fake")
    assert rows.names() == []
    rows.db.run("t", lambda c: lanes.polled(c, rows.ce_of(place), proxy_id, 1e6))
    pass_time(rows.db, 4300)
    beat(rows, "status-fake", "reconciler-fake")
    rows.db.run("t", lambda c: lanes.polled(c, rows.ce_of(place), proxy_id, 1e6))
    (found,) = rows.alarms()
    assert (found.name, found.about) == ("overdue", "tofetch")
    assert found.text.startswith("3 attempts in 'tofetch'")


def test_quarantined_attempts_are_told_with_their_number(rows: Asked) -> None:
    rows.put(rows.attempts(3, [rows.place()], rows.proxy()), "quarantined")
    (found,) = rows.alarms()
    assert found.name == "quarantined"
    assert found.text.startswith("3 attempts in quarantine")


def test_stopped_submission_comes_first(rows: Asked) -> None:
    rows.put(rows.attempts(1, [rows.place()], rows.proxy()), "quarantined")
    rows.db.run("t", lambda c: meta.stop(c, "it was copied"))
    assert rows.names() == ["submission_stopped", "quarantined"]


# --- PanDA ---------------------------------------------------------------------------------------------------------


def of_panda(tower: PandaTower) -> list[str]:
    """Alarms of a tower all of whose daemons run."""
    beat(tower, *registry.enabled(load_core()))
    applications = plugins("act.app").values()
    found = tower.db.snapshot("t", lambda c: ask.ask(c, load_core(), applications=applications))
    return [f"{a.name} {a.severity}" for a in found]


def test_panda_that_answers_nobody_is_down_until_it_answers(panda_tower: PandaTower) -> None:
    panda_tower.order()
    rule = panda_tower.panda.faults.add({"path": "acquire_jobs", "action": "error-before", "status": 503})
    with pytest.raises((SourceUnreachable, CredentialError)):
        panda_tower.once("getjob")
    assert of_panda(panda_tower) == ["panda_down critical"]
    panda_tower.panda.faults.remove(rule)
    panda_tower.once("getjob")
    assert of_panda(panda_tower) == []


def test_panda_that_is_not_told_of_jobs_is_a_warning_first(panda_tower: PandaTower) -> None:
    panda_tower.taken()
    panda_tower.pass_time(620)
    assert of_panda(panda_tower) == []
    panda_tower.pass_time(100)
    assert of_panda(panda_tower) == ["panda_unheard warning"]
    panda_tower.pass_time(600)
    assert of_panda(panda_tower) == ["panda_unheard critical"]


def test_a_daemon_that_the_configuration_wants_no_more_is_forgotten(panda_tower: PandaTower) -> None:
    def known() -> set[str]:
        return {row.name for row in panda_tower.db.read("t", meta.daemon_rows)}

    beat(panda_tower, "getjob", "submitter-arc.3")
    beat(panda_tower, "elsewhere", host="another")
    panda_tower.once("report")
    assert known() == {"getjob", "submitter-arc.3", "elsewhere"}  # it may just be about to end
    panda_tower.pass_time(61)
    panda_tower.once("report")
    assert known() == {"getjob", "elsewhere"}
