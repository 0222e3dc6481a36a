"""`actctl alive` tells the truth: nothing while all is well, and each thing that somebody has to look at."""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any

import pytest
from click.testing import CliRunner, Result

from act.cli.actctl import main
from act.config import load_core
from act.daemons import registry
from act.db import credentials, meta
from act.errors import SourceUnreachable
from tests.integration.beats import beat
from tests.integration.panda_tower import PandaTower

HOST = os.uname().nodename


def master(tower: PandaTower, written: float = 0.0, **of_heartbeat: Any) -> None:
    """Say what this host's master would; of_heartbeat: what is different with that daemon; written: seconds ago."""
    well = {"state": "running", "restarts": 0, "uptime_s": 9999.0, "last_end": ""}
    names = registry.enabled(load_core())
    told = [{"name": n, **well, **(of_heartbeat if n == "heartbeat" else {})} for n in names]
    run_dir = load_core().paths.run_dir
    run_dir.mkdir(parents=True, exist_ok=True)
    status = {"pid": os.getpid(), "written": time.time() - written, "state": "running", "daemons": told}
    (run_dir / "status.json").write_text(json.dumps(status))


def report(tower: PandaTower, *but: str) -> None:
    """All daemons of this host but these give a sign of life."""
    for name in set(registry.enabled(load_core())) - set(but):
        tower.db.run("t", lambda c, name=name: meta.report(c, HOST, name, os.getpid()))  # type: ignore[misc]


def alive(*options: str) -> Result:
    return CliRunner().invoke(main, ["alive", *options])


@pytest.fixture
def tower(panda_tower: PandaTower) -> PandaTower:
    """A tower that is well, with a job that PanDA was told of."""
    panda_tower.order()
    panda_tower.once("getjob")
    panda_tower.pass_time(601)
    panda_tower.once("heartbeat")
    master(panda_tower)
    report(panda_tower)
    return panda_tower


def test_a_tower_that_is_well_is_alive(tower: PandaTower) -> None:
    assert (alive().exit_code, alive().output) == (0, "alive\n")


def test_a_master_that_is_not_there_is_told(tower: PandaTower) -> None:
    (load_core().paths.run_dir / "status.json").unlink()
    assert (alive().exit_code, alive().stderr) == (1, "no master runs on this host\n")


def test_a_master_that_hangs_is_told(tower: PandaTower) -> None:
    master(tower, written=300.0)
    assert alive().exit_code == 1
    assert "has told nothing for 5.0 min" in alive().stderr


def test_a_daemon_that_is_silent_is_told_with_what_the_master_knows(tower: PandaTower) -> None:
    tower.pass_time(300)
    report(tower, "heartbeat")
    assert alive().exit_code == 1
    assert alive().stderr == "heartbeat has reported nothing for 5.0 min; the master says: running\n"
    master(tower, state="waiting", restarts=7, uptime_s=None, last_end="silent for 60 s")
    assert "the master says: waiting, ended 7 times, last: silent for 60 s" in alive().stderr


def test_a_daemon_that_has_just_been_started_has_time_to_report(tower: PandaTower) -> None:
    tower.pass_time(300)
    report(tower, "heartbeat")
    master(tower, uptime_s=20.0)
    assert alive().exit_code == 0
    master(tower, uptime_s=20.0, restarts=3)
    assert alive().exit_code == 1


def test_a_daemon_that_refuses_its_configuration_is_told_at_once(tower: PandaTower) -> None:
    master(tower, state="refused", uptime_s=None, last_end="no such queue")
    assert alive().exit_code == 1
    assert "heartbeat refuses its configuration" in alive().stderr


def test_a_database_that_is_away_is_told(tower: PandaTower) -> None:
    config = tower.directory / "aCTConfigARC.xml"
    before = config.read_text()
    config.write_text(re.sub("<url>.*?</url>", "<url>sqlite:////nowhere/act.db</url>", before, count=1))
    assert alive().exit_code == 1
    assert "the database does not answer" in alive().stderr
    config.write_text(before)


def test_a_stopped_submission_is_told(tower: PandaTower) -> None:
    tower.db.run("t", lambda c: meta.stop(c, "it was copied"))
    assert (alive().exit_code, alive().stderr) == (1, "nothing is submitted: it was copied\n")


def test_what_is_critical_anywhere_in_the_tower_wakes_somebody(tower: PandaTower) -> None:
    beat(tower, "getjob", "sole", host="elsewhere")
    tower.pass_time(100)
    report(tower)
    assert alive().exit_code == 1
    assert "nothing was heard from host elsewhere for 1 min 4" in alive().stderr
    assert "some of its daemons run nowhere else" in alive().stderr
    assert "journalctl" in alive("--verbose").stderr


def test_a_warning_wakes_nobody_and_is_told_to_those_who_want_it(tower: PandaTower) -> None:
    tower.db.run("t", lambda c: credentials.set_error(c, "production", "no such file"))
    assert (alive().exit_code, alive().output) == (0, "alive\n")
    told = alive("--verbose")
    assert told.exit_code == 0
    assert "cannot be renewed: no such file\n  warning: 'actctl daemon proxy --once' tells why" in told.stderr


def test_heartbeats_that_nobody_sends_are_told_when_they_are_late(tower: PandaTower) -> None:
    for seconds, code in ((1900, 0), (600, 1)):  # due after 1800 s, late after 600 s more
        tower.pass_time(seconds)
        report(tower)
        assert alive().exit_code == code
    assert "PanDA has not heard of 1 job in time, of one for 41 min" in alive().stderr
    tower.once("heartbeat")
    assert alive().exit_code == 0


def test_heartbeats_that_panda_does_not_take_are_told_though_they_are_tried(tower: PandaTower) -> None:
    tower.panda.faults.add({"path": "update_jobs_bulk", "action": "error-before", "status": 503, "times": 1})
    tower.pass_time(2500)
    with pytest.raises(SourceUnreachable):
        tower.once("heartbeat")
    report(tower)
    assert alive().exit_code == 1
