"""Whatever operators, PanDA and the database get wrong: the tower says where and what, and loses no job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act_atlas.demo.mix import DONE, FAILED, Kind
from act_atlas.demo.run import complaints
from tests.acceptance.trial import Trial
from tests.needs import need
from tests.services.mariadb import MariaDB

pytestmark = pytest.mark.slow

EX_CONFIG, EX_TEMPFAIL, EX_BAD_INPUT = 78, 75, 2
QUEUE = "SIM"
GOOD = Kind("a good one", QUEUE, "finished", DONE, {"seconds": 1})
# What is wrong with a job -> the order for it, and what people at PanDA read about it.
BAD_JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "absurdly many cores": ({"fields": {"coreCount": 10**12}}, "coreCount"),
    "cores that are no number": ({"fields": {"coreCount": "many"}}, "coreCount"),
    "absurdly much memory": ({"fields": {"minRamCount": 10**18}}, "minRamCount"),
    "a time that is no number": ({"fields": {"maxCpuCount": "1e99"}}, "maxCpuCount"),
    "no label": ({"omit": ["prodSourceLabel"]}, "prodSourceLabel"),
    "a log outside of its place": ({"fields": {"logFile": "../../etc/passwd"}}, "logFile"),
    "a name of two lines": ({"fields": {"jobName": "two\nlines"}}, "jobName"),
}


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A tower that is set up, and that nobody starts."""
    with Trial(tmp_path_factory.mktemp("idle")) as trial:
        trial.set_up({QUEUE: [trial.world.start_ce("ce")]})
        yield trial


TYPOS = {  # what is wrong -> (file, right, wrong, what is told)
    "ill-typed": ("aCTConfigARC.xml", "<status_s>1<", "<status_s>soon<", "polling/status_s"),
    "not XML": ("aCTConfigARC.xml", "</polling>", "</poling>", "not well-formed"),
    "unknown": ("aCTConfigATLAS.xml", "<retry_s>5</retry_s>", "<rety_s>5</rety_s>", "did you mean 'retry_s'"),
}


@pytest.mark.parametrize(
    ("typo", "command"),
    [
        *((typo, "config check") for typo in TYPOS),
        *(("ill-typed", command) for command in ("run", "status", "jobs", "daemon cric --once")),
        ("unknown", "run"),
    ],
)
def test_a_typo_in_the_xml_is_told_with_file_and_line(idle: Trial, typo: str, command: str) -> None:
    name, right, wrong, told = TYPOS[typo]
    path = idle.world.directory / name
    text = path.read_text()
    path.write_text(text.replace(right, wrong))
    done = idle.tower.actctl(*command.split())
    path.write_text(text)
    line = text[: text.index(right)].count("\n") + 1
    assert done.returncode == EX_CONFIG, done.stdout + done.stderr
    assert f"{path}:{line}:" in done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("harm", ["missing", "garbage"])
def test_a_proxy_that_cannot_be_made_is_told_with_its_file(idle: Trial, harm: str) -> None:
    _, key = idle.world.ca.user("tower")
    content = key.read_bytes()
    key.unlink() if harm == "missing" else key.write_text("no key")
    done = idle.tower.actctl("daemon", "proxy", "--once")
    status = idle.tower.actctl("status")
    key.write_bytes(content)
    assert done.returncode == EX_TEMPFAIL
    assert "actctl: the proxy of role 'production' cannot be renewed" in done.stderr
    assert str(key) in done.stderr
    assert "Traceback" not in done.stderr
    assert str(key) in "".join(status.stdout.split())  # the table may have broken it over lines


def test_a_queue_that_is_nowhere_is_told_with_those_that_are(idle: Trial, tmp_path: Path) -> None:
    job, queues = tmp_path / "job.json", tmp_path / "queues.json"
    job.write_text('{"PandaID": 1, "prodSourceLabel": "managed"}')
    queues.write_text('{"THERE": {"schedconfig": {}}}')
    options = ("--flavour", "arc", "--queue", str(queues), "--name", "GONE", "--job", str(job))
    done = idle.tower.actctl("convert", *options)
    assert done.returncode == EX_BAD_INPUT
    assert str(queues) in done.stderr
    assert "GONE" in done.stderr
    assert "THERE" in done.stderr


def test_jobs_that_make_no_sense_fail_at_panda_with_the_field_and_hold_up_no_other(trial: Trial) -> None:
    tower = trial.set_up({QUEUE: [trial.world.start_ce("ce")]})
    wrong = {}
    for what, (order, field) in BAD_JOBS.items():
        (pandaid,) = trial.order(Kind(what, QUEUE, "failed", FAILED, order, runs=0))
        wrong[pandaid] = field
    trial.order(GOOD, 3)
    tower.start()
    picture = trial.settle(180)
    assert list(complaints(picture, trial.kinds)) == []
    for pandaid, field in wrong.items():
        assert field in picture.jobs[pandaid].panda["values"]["pilot_error_diag"]
    assert "Traceback" not in tower.log.read_text()


def test_a_queue_that_vanishes_after_its_jobs_were_taken_costs_nothing_and_is_told(trial: Trial) -> None:
    ce = trial.world.start_ce("ce")
    tower = trial.set_up({QUEUE: [ce]}, daemons="<daemon><name>panda2arc</name><disabled>true</disabled></daemon>")
    trial.order(GOOD, 2)
    tower.start()
    trial.wait("taken", lambda p: p.tower_counts()["sent"] == 2, 30)
    cric = trial.world.call("GET", "/cric/pandaqueues.json")
    trial.world.call("POST", "/_sim/cric", {"OTHER": cric[QUEUE] | {"name": "OTHER", "panda_resource": "OTHER"}})
    assert tower.actctl("daemon", "cric", "--once").returncode == 0
    assert tower.actctl("daemon", "panda2arc", "--once").returncode == 0
    assert trial.look().tower_counts()["sent"] == 2
    trial.world.call("POST", "/_sim/cric", cric)
    assert tower.actctl("daemon", "cric", "--once").returncode == 0
    with trial.daemon("panda2arc"):
        picture = trial.settle(180)
    assert list(complaints(picture, trial.kinds)) == []


@pytest.mark.mariadb
def test_a_database_that_is_down_at_the_start_is_waited_for(trial: Trial, server: MariaDB) -> None:
    server.create_database("late")
    tower = trial.set_up({QUEUE: [trial.world.start_ce("ce")]}, database=server.tcp_url("late"))
    server.stop()
    done = tower.actctl("status")
    assert done.returncode == EX_TEMPFAIL
    assert f"127.0.0.1:{server.port}" in done.stderr
    assert "Traceback" not in done.stderr
    trial.order(GOOD, 3)
    tower.start()
    wait_for_line(tower.log, "waiting", 30)
    assert tower.pid is not None
    server.start()
    picture = trial.settle(180)
    assert list(complaints(picture, trial.kinds)) == []
    assert "Traceback" not in tower.log.read_text()


@pytest.mark.mariadb
def test_a_database_that_goes_away_in_the_middle_costs_no_job(trial: Trial, server: MariaDB) -> None:
    server.create_database("middle")
    tower = trial.set_up({QUEUE: [trial.world.start_ce("ce")]}, database=server.tcp_url("middle"))
    slow = Kind("runs meanwhile", QUEUE, "finished", DONE, {"seconds": 12})
    trial.order(slow, 3)
    tower.start()
    trial.wait("running", lambda p: p.tower_counts()["running"] == 3, 120)
    trial.order(GOOD, 6)
    server.kill()
    wait_for_line(tower.log, "DatabaseBusy", 30)
    time.sleep(5)
    assert tower.pid is not None
    server.start()
    picture = trial.settle(180)
    assert list(complaints(picture, trial.kinds)) == []
    assert "Traceback" not in tower.log.read_text()
    assert tower.actctl("status").returncode == 0


@pytest.fixture
def server() -> Iterator[MariaDB]:
    """A server that the test may stop and kill."""
    need(MariaDB.installed())
    with MariaDB() as server:
        yield server


def wait_for_line(log: Path, word: str, within_s: float) -> None:
    """Until the word is in the log."""
    end = time.monotonic() + within_s
    while word not in log.read_text():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)
