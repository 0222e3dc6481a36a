"""`make install`, and what it installs under a real systemd: start, restart, reload, watchdog, alarm."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance import trial
from tests.needs import need, unavailable
from tests.services import systemd
from tests.services.systemd import Host

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"  # units cannot use one in a home directory
SUITABLE = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
UNITS = {"act.target", "act.service", "act-web.service", "act-watch.service", "act-watch.timer", "act-alarm@.service"}
PATIENCE_S = 40.0
PORT = 8443  # the host's network is its own
CORE = f"""<config>
  <database><url>sqlite:////var/lib/act/act.db</url></database>
  <paths><state_dir>/var/lib/act/state</state_dir><work_dir>/var/lib/act/work</work_dir>
    <store_dir>/var/lib/act/store</store_dir><run_dir>/run/act</run_dir></paths>
  <proxies><key_file>/var/lib/act/state/proxy.key</key_file></proxies>
  <web><bind>127.0.0.1:{PORT}</bind><secret_file>/var/lib/act/state/web.secret</secret_file></web>
</config>"""
ATLAS = """<config>
  <panda><server>https://127.0.0.1:1</server><schedulerid>aCT-test</schedulerid></panda>
  <joblog><dir>/var/lib/act/joblog</dir><urlprefix>https://act.example.org/jobs</urlprefix></joblog>
</config>"""
ALL_RUN = re.compile(r"(\d+) of \1 daemons run")
AS_ACT = ("runuser", "-u", "act", "--", "env", "ACTCONFIGARC=/etc/act/aCTConfigARC.xml",
          "ACTCONFIGATLAS=/etc/act/aCTConfigATLAS.xml", "/opt/act/bin/actctl")  # fmt: skip
TRIAL = Path("/var/lib/act/trial")
TRIAL_CORE = trial.CORE.format(daemons="", **trial.NUMBERS) + (
    f"<web><bind>127.0.0.1:{PORT}</bind><secret_file>{TRIAL}/state/web.secret</secret_file></web>"
)
JOBS = 8
WORLD = f"""
import json, time
from pathlib import Path
from act_atlas.trial import World
with World(Path("{TRIAL}")) as world:
    world.start_panda("--adder", "1")
    world.configure(
        {{"QUEUE": [world.start_ce("ce", "--slots", "3")]}}, core={TRIAL_CORE!r},
        database="sqlite:///{TRIAL}/act.db", panda={trial.PANDA!r}, atlas={trial.ATLAS!r})
    world.order("QUEUE", count={JOBS}, seconds=6)
    told = Path("{TRIAL}/stories.json")
    while True:
        told.with_suffix(".new").write_text(json.dumps([story["status"] for story in world.stories().values()]))
        told.with_suffix(".new").replace(told)
        time.sleep(0.5)
"""  # PanDA, and a CE that runs its jobs
COUNT = "SELECT COUNT(*), MAX(submission) FROM cejobs"
DOWNGRADE = f"""
from alembic import command
from act.db import migrate
from act.db.engine import Database
own = migrate.config()
with Database("sqlite:///{TRIAL}/act.db").engine.connect() as connection:
    own.attributes["connection"] = connection
    for revision in ("core_0002", "atlas_0002"):
        command.downgrade(own, revision)
    connection.commit()
"""

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.group(name="units")]


@pytest.fixture(scope="module")
def destdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `make install` put everything."""
    if subprocess.run([PYTHON, "-c", SUITABLE], capture_output=True).returncode != 0:
        unavailable(f"{PYTHON} is older than 3.11, or python3-venv is not installed")
    place = tmp_path_factory.mktemp("destdir")
    place.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    command = ["make", "--no-print-directory", "install", f"DESTDIR={place}", f"PYTHON3={PYTHON}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture(scope="module")
def host(destdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host on which the tower is installed and initialised, as docs/operations.md says."""
    need(systemd.missing())
    if why := systemd.forbidden():  # nothing that a set-up could mend, in CI neither
        pytest.skip(why)
    with systemd.booted(tmp_path_factory.mktemp("host"), destdir) as host:
        host.run("systemd-sysusers", "act.conf")
        host.run("systemd-tmpfiles", "--create", "act.conf")
        configure(host)
        host.run(*AS_ACT, "init", "--directory", "/etc/act")
        host.run("systemctl", "enable", "act", "act-web")
        yield host


def configure(host: Host, core: str = CORE) -> None:
    for name, text in (("aCTConfigARC.xml", core), ("aCTConfigATLAS.xml", ATLAS)):
        (host.root / "etc/act" / name).write_text(text)


@pytest.fixture
def tower(host: Host) -> Iterator[Host]:
    """The same, with everything running."""
    configure(host)
    host.run("systemctl", "reset-failed")
    host.run("systemctl", "start", "act.target")
    until(lambda: ALL_RUN.fullmatch(host.show("act", "StatusText")))
    yield host
    host.run("systemctl", "stop", "act.target", "act", "act-web")


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)


@contextmanager
def drop_in(host: Host, unit: str, text: str) -> Iterator[None]:
    """Other settings of a unit for a while."""
    place = host.root / f"run/systemd/system/{unit}.d/test.conf"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    host.run("systemctl", "daemon-reload")
    yield
    place.unlink()
    host.run("systemctl", "daemon-reload")


def test_all_files_are_where_a_package_has_them(destdir: Path) -> None:
    assert {p.name for p in (destdir / "usr/lib/systemd/system").iterdir()} == UNITS
    for name in ("usr/lib/sysusers.d/act.conf", "usr/lib/tmpfiles.d/act.conf", "usr/share/zsh/site-functions/_actctl",
                 "usr/share/bash-completion/completions/actcli", "usr/share/fish/vendor_completions.d/actctl.fish",
                 "opt/act/share/act/examples/aCTConfigARC.xml", "opt/act/share/doc/act/operations.md"):  # fmt: skip
        assert (destdir / name).stat().st_size > 0, name
    assert (destdir / "usr/bin/actctl").readlink() == Path("/opt/act/bin/actctl")


def test_nothing_that_is_installed_names_the_place_where_it_was_made(destdir: Path) -> None:
    found = subprocess.run(
        ["grep", "-rlF", "--exclude-dir=share", str(destdir), destdir], capture_output=True, text=True
    )
    assert found.stdout == ""


def test_the_wheel_alone_makes_a_tower(destdir: Path, tmp_path: Path) -> None:
    """Templates, migrations, grammar and scripts are in it: nothing comes from the checkout."""
    actctl = [destdir / "opt/act/bin/python", "-I", "-m", "act.cli"]
    made = subprocess.run([*actctl, "init", "--directory", tmp_path], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert "database: schema atlas_" in made.stdout
    (packages,) = (destdir / "opt/act/lib").glob("python3*/site-packages")
    data = [p.relative_to(ROOT) for package in ("act", "act_arc", "act_atlas", "act_condor")
            for p in (ROOT / package).rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]  # fmt: skip
    assert data and [str(p) for p in data if not (packages / p).exists()] == []


def test_the_tower_runs_in_its_sandbox_and_its_watch_finds_it_alive(tower: Host) -> None:
    assert tower.run("systemctl", "is-active", "act.service", "act-web.service", "act-watch.timer")
    assert tower.run("systemctl", "is-active", "aCTmain.target") == "active"
    health = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{PORT}/api/v1/health').status)"
    assert tower.run("python3", "-c", health) == "200"
    tower.run("systemctl", "start", "act-watch.service")
    assert "Permission denied" not in tower.journal("--unit=act", "--unit=act-web")
    assert "Read-only" not in tower.journal("--unit=act", "--unit=act-web")


@pytest.mark.parametrize("unit", ["act", "act-web"])
@pytest.mark.parametrize("number", ["KILL", "TERM"])
def test_what_ends_by_itself_is_started_again_and_leaves_nothing_behind(tower: Host, unit: str, number: str) -> None:
    before = tower.show(unit, "MainPID")
    tower.run("systemctl", "kill", f"--signal={number}", "--kill-whom=main", unit)
    until(lambda: tower.show(unit, "MainPID") not in (before, "0") and tower.show(unit, "ActiveState") == "active")
    parents = tower.run("ps", "-o", "ppid=", "-C", "actctl").split()
    assert before not in parents


@pytest.mark.parametrize("unit", ["act", "act-web"])
def test_a_main_process_that_hangs_is_replaced(tower: Host, unit: str) -> None:
    with drop_in(tower, f"{unit}.service", "[Service]\nWatchdogSec=8\nTimeoutAbortSec=1\n"):
        tower.run("systemctl", "restart", unit)
        before = tower.show(unit, "MainPID")
        tower.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", unit)
        until(lambda: tower.show(unit, "MainPID") not in (before, "0") and tower.show(unit, "ActiveState") == "active")
    assert "Watchdog timeout" in tower.journal(f"--unit={unit}")


def test_reload_replaces_the_daemons_unless_the_configuration_is_wrong(tower: Host) -> None:
    master = tower.show("act", "MainPID")

    def daemons() -> set[str]:
        return set(tower.run("ps", "-o", "pid=", "--ppid", master).split())

    before = daemons()
    configure(tower, CORE.replace("<web>", "<wob/><web>"))
    tower.run("systemctl", "reload", "act")
    until(lambda: "not reloaded, all goes on as before" in tower.journal("--unit=act"))
    assert daemons() == before
    configure(tower)
    tower.run("systemctl", "reload", "act")
    until(lambda: len(daemons()) == len(before) and not daemons() & before)
    assert tower.show("act", "MainPID") == master


@pytest.fixture
def working(host: Host) -> Iterator[Host]:
    """A host on which a PanDA and a CE run too, and whose tower has jobs in all stages of their lives."""
    (host.root / "var/lib/act/world.py").write_text(WORLD)
    host.run("systemd-run", "--unit=world", "--uid=act", "/opt/act/bin/python", "/var/lib/act/world.py")
    until(lambda: (host.root / f".{TRIAL}/stories.json").exists())
    for name in ("aCTConfigARC.xml", "aCTConfigATLAS.xml"):
        (host.root / "etc/act" / name).write_text((host.root / f".{TRIAL}" / name).read_text())
    host.run(*AS_ACT, "init", "--directory", "/etc/act")
    host.run("systemctl", "reset-failed")
    host.run("systemctl", "start", "act")
    until(lambda: {"running", "starting"} <= set(stories(host)))
    yield host
    host.run("systemctl", "stop", "act.target", "act", "act-web", "world")


def stories(host: Host) -> list[str]:
    """How PanDA's jobs are."""
    told: list[str] = json.loads((host.root / f".{TRIAL}/stories.json").read_text())
    return told


def test_an_upgrade_with_jobs_under_way_loses_none_and_runs_each_once(working: Host) -> None:
    """Step by step as the section Upgrade of docs/operations.md; what pip brings was there before."""
    working.run("systemctl", "reload", "act")
    until(lambda: ALL_RUN.fullmatch(working.show("act", "StatusText")))
    working.run("systemctl", "stop", "act.target", "act", "act-web")
    assert set(stories(working)) != {"finished"}

    newest = next((working.root / "opt/act/lib").rglob("core_0003.py"))
    newest.rename(newest.with_suffix(".away"))  # as in the release before
    assert working.call("systemctl", "start", "act").returncode != 0
    assert "core_0003, which this release does not know: install the newer release" in working.journal("--unit=act")
    newest.with_suffix(".away").rename(newest)

    working.run("runuser", "-u", "act", "--", "/opt/act/bin/python", "-c", DOWNGRADE)
    assert working.call("systemctl", "start", "act").returncode != 0
    assert working.show("act", "ExecMainStatus") == "78"
    assert "has schema atlas_0002" in working.journal("--unit=act")

    working.run("runuser", "-u", "act", "--", "/opt/act/bin/actctl", "config", "check")
    assert "core_0003" in working.run("runuser", "-u", "act", "--", "/opt/act/bin/actctl", "db", "upgrade")
    working.run("systemctl", "start", "act.target")
    until(lambda: stories(working) == ["finished"] * JOBS)
    query = f"import sqlite3; c = sqlite3.connect('{TRIAL}/act.db'); print(*c.execute('{COUNT}').fetchone())"
    assert working.run("python3", "-c", query) == f"{JOBS} 1"


def test_a_wrong_configuration_is_not_tried_again_and_rings_the_alarm(tower: Host) -> None:
    configure(tower, CORE.replace("<web>", "<wob/><web>"))
    assert tower.call("systemctl", "restart", "act").returncode != 0
    assert (tower.show("act", "ExecMainStatus"), tower.show("act", "ActiveState")) == ("78", "failed")
    until(lambda: "act has failed on" in tower.journal("--priority=alert"))


def rings(tower: Host) -> int:
    """How often the watch has rung so far."""
    said = tower.journal("--identifier=act-alarm").splitlines()
    return sum(line.startswith("act-watch ") for line in said)


def test_the_watch_rings_once_an_hour_while_the_master_is_down(tower: Host) -> None:
    tower.run("systemctl", "stop", "act.service", "act-watch.timer")
    tower.call("systemctl", "reset-failed", "act-alarm@act-watch.service")  # what rang before does not count
    before = rings(tower)
    for _ in range(3):
        assert tower.call("systemctl", "start", "act-watch.service").returncode != 0
    until(lambda: "Failed to start act-alarm@act-watch.service" in tower.journal())
    assert rings(tower) == before + 1
    assert "no master runs on this host" in tower.journal("--priority=err", "--unit=act-watch")


def test_stopping_the_target_stops_all_of_it(tower: Host) -> None:
    tower.run("systemctl", "stop", "act.target")
    units = ("act.service", "act-web.service", "act-watch.timer")
    until(lambda: {tower.show(unit, "ActiveState") for unit in units} == {"inactive"})
    assert tower.call("pgrep", "actctl").stdout == ""
    assert tower.run("systemctl", "--failed", "--no-legend", "--plain") == ""
