"""Promises of act.master, with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from act.master import read_status

TOY = Path(__file__).with_name("toy_master.py")
QUICK = {"beat_s": 0.1, "stale_s": 20.0, "stop_s": 20.0, "restart_min_s": 0.05, "restart_max_s": 0.2, "status_s": 0.05}
PATIENCE_S = 20.0


class Tower:
    """A running toy master."""

    def __init__(self, run_dir: Path, specs: dict[str, Any], environment: dict[str, str], times: dict[str, float]):
        self.run_dir = run_dir
        self.log_file = run_dir / "log"
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, TOY, run_dir, json.dumps(QUICK | times), json.dumps(specs)],
                stderr=log,
                env=os.environ | environment,
            )

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def lines(self, part: str) -> list[str]:
        return [line for line in self.log.splitlines() if part in line]

    def daemons(self) -> dict[str, dict[str, Any]]:
        status = read_status(self.run_dir)
        return {d["name"]: d for d in status["daemons"]} if status else {}

    def pid(self, name: str) -> int:
        """Pid of a daemon, once it beats."""
        until(lambda: self.daemons().get(name, {}).get("state") == "running")
        return int(self.daemons()[name]["pid"])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Tower]]:
    towers: list[Tower] = []

    def start(specs: dict[str, Any], environment: dict[str, str] | None = None, **times: float) -> Tower:
        towers.append(Tower(tmp_path, specs, environment or {}, times))
        return towers[-1]

    yield start
    for tower in towers:
        tower.process.kill()
        tower.process.wait()


Start = Callable[..., Tower]


def test_it_stops_cleanly_and_leaves_nothing(start: Start) -> None:
    tower = start({"a": "steady", "b": "steady", "hung": "hung_thread"})
    pids = [tower.pid(name) for name in ("a", "b", "hung")]
    tower.send(signal.SIGTERM)
    assert tower.wait() == 0
    assert (tower.run_dir / "a.stopped").exists()
    assert not any(alive(pid) for pid in pids)
    assert read_status(tower.run_dir) is None
    assert tower.lines("is killed") == []


def test_ctrl_c_stops_it_too(start: Start) -> None:
    tower = start({"a": "steady"})
    tower.pid("a")
    tower.send(signal.SIGINT)
    assert tower.wait() == 0
    assert (tower.run_dir / "a.stopped").exists()


def test_a_daemon_that_does_not_stop_is_killed(start: Start) -> None:
    tower = start({"a": "stubborn"}, stop_s=0.2)
    pid = tower.pid("a")
    tower.send(signal.SIGTERM)
    assert tower.wait() == 0
    assert not alive(pid)
    assert tower.lines("did not stop within 0.2 s")


def test_a_second_sigterm_stops_at_once(start: Start) -> None:
    tower = start({"a": "stubborn"}, stop_s=1000)
    pid = tower.pid("a")
    tower.send(signal.SIGTERM)
    until(lambda: tower.daemons()["a"]["state"] == "stopping")
    tower.send(signal.SIGTERM)
    assert tower.wait() == 0
    assert not alive(pid)


def test_a_dead_daemon_comes_back_after_a_growing_delay_and_the_others_do_not_notice(start: Start) -> None:
    tower = start({"bad": "crash", "good": "steady"})
    pid = tower.pid("good")
    until(lambda: tower.daemons()["bad"]["restarts"] >= 4)
    delays = [float(line.rpartition("restart in ")[2].removesuffix(" s")) for line in tower.lines("restart in")]
    assert delays[:4] == [0.05, 0.1, 0.2, 0.2]
    assert "ValueError: a toy breaks" in tower.daemons()["bad"]["last_end"]
    assert tower.pid("good") == pid
    assert tower.lines("Traceback")


def test_the_delay_starts_over_after_a_long_life(start: Start) -> None:
    tower = start({"bad": "crash"}, settled_s=0.0)
    until(lambda: tower.daemons().get("bad", {}).get("restarts", 0) >= 3)
    assert all(line.endswith("restart in 0.05 s") for line in tower.lines("restart in"))


def test_an_expected_error_is_told_without_traceback(start: Start) -> None:
    tower = start({"bad": "trouble"})
    until(lambda: tower.lines("restart in"))
    assert tower.lines("ERROR bad act.master.child: ends: the disk of the toy is full")
    assert "Traceback" not in tower.log


def test_a_silent_daemon_is_killed_and_restarted(start: Start) -> None:
    tower = start({"mute": "silent", "good": "steady"}, stale_s=1.5)
    first = tower.pid("mute")
    until(lambda: tower.daemons()["mute"]["restarts"] >= 1)
    assert not alive(first)
    assert tower.lines(f"mute (pid {first}) is killed: silent for")
    assert tower.daemons()["good"]["restarts"] == 0


def test_a_killed_daemon_takes_its_own_children_along(start: Start) -> None:
    tower = start({"p": "parent"})
    pid = tower.pid("p")
    child = int((tower.run_dir / "p.child").read_text())
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(child))
    until(lambda: tower.daemons()["p"]["restarts"] == 1)


def test_a_daemon_that_refuses_its_configuration_is_not_restarted(start: Start) -> None:
    tower = start({"bad": "refuse", "good": "steady"})
    until(lambda: tower.daemons().get("bad", {}).get("state") == "refused")
    tower.pid("good")
    [line] = tower.lines("ERROR")
    assert "line 7: no such key; not restarted" in line
    assert tower.daemons()["bad"]["restarts"] == 0


def test_it_ends_with_78_when_every_daemon_refuses(start: Start) -> None:
    tower = start({"bad": "refuse", "worse": "refuse"})
    assert tower.wait() == 78
    assert tower.log.count("line 7: no such key") == 2


def test_the_daemons_die_with_a_killed_master(start: Start) -> None:
    tower = start({"a": "steady", "s": ["stubborn", 2]})
    pids = [tower.pid(name) for name in ("a", "s.1", "s.2")]
    tower.send(signal.SIGKILL)
    tower.wait()
    until(lambda: not any(alive(pid) for pid in pids))
    assert read_status(tower.run_dir) is None


def test_only_one_master_runs_on_a_host(start: Start) -> None:
    first = start({"a": "steady"})
    first.pid("a")
    second = start({"b": "steady"})
    assert second.wait() == 75
    assert second.lines(f"AlreadyRunning: a master runs already on this host with pid {first.process.pid}")
    assert first.process.poll() is None


def test_a_new_master_starts_right_after_one_was_killed(start: Start) -> None:
    first = start({"a": "steady"})
    first.pid("a")
    first.send(signal.SIGKILL)
    first.wait()
    start({"a": "steady"}).pid("a")


def test_sighup_restarts_all_one_by_one_as_the_new_configuration_says(start: Start) -> None:
    tower = start({"a": "steady", "b": "steady", "old": "steady"})
    before = {name: tower.pid(name) for name in ("a", "b", "old")}
    (tower.run_dir / "specs.json").write_text(json.dumps({"a": "steady", "b": "steady", "new": ["steady", 2]}))
    tower.send(signal.SIGHUP)
    until(lambda: set(tower.daemons()) == {"a", "b", "new.1", "new.2"})
    until(lambda: all(tower.pid(name) != before[name] for name in ("a", "b")))
    assert not any(alive(pid) for pid in before.values())
    assert tower.lines("is killed") == []


def test_sighup_with_a_bad_configuration_changes_nothing(start: Start) -> None:
    tower = start({"a": "steady"})
    pid = tower.pid("a")
    (tower.run_dir / "specs.json").write_text("{")
    tower.send(signal.SIGHUP)
    until(lambda: tower.lines("not reloaded"))
    assert tower.pid("a") == pid


def test_sighup_gives_a_refused_daemon_a_new_chance(start: Start) -> None:
    specs = {"bad": "refuse_once", "good": "steady"}
    tower = start(specs)
    until(lambda: tower.daemons().get("bad", {}).get("state") == "refused")
    (tower.run_dir / "specs.json").write_text(json.dumps(specs))
    tower.send(signal.SIGHUP)
    tower.pid("bad")


def test_sigusr1_logs_how_the_daemons_are(start: Start) -> None:
    tower = start({"a": "steady"})
    pid = tower.pid("a")
    tower.send(signal.SIGUSR1)
    until(lambda: tower.lines(f"a: running, pid {pid}, beat"))


def test_a_daemon_shows_its_stacks_on_sigusr1(start: Start) -> None:
    tower = start({"a": "steady"})
    os.kill(tower.pid("a"), signal.SIGUSR1)
    until(lambda: "in steady" in tower.log)
    assert tower.daemons()["a"]["restarts"] == 0


def test_a_master_that_stood_still_does_not_blame_its_daemons(start: Start) -> None:
    tower = start({"a": "steady"}, stale_s=1.5)
    pid = tower.pid("a")
    for process in (tower.process.pid, pid):
        os.kill(process, signal.SIGSTOP)
    time.sleep(1.8)
    tower.send(signal.SIGCONT)
    until(lambda: tower.daemons()["a"]["beat_age_s"] < 0.3)
    os.kill(pid, signal.SIGCONT)
    until(lambda: tower.daemons()["a"]["beat_age_s"] < 0.1)
    assert tower.lines("is killed") == []


def test_systemd_is_told_ready_watchdog_and_stopping(start: Start, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(PATIENCE_S)
        tower = start({"a": "steady"}, {"NOTIFY_SOCKET": address})
        heard: list[str] = []
        while not {"READY=1", "WATCHDOG=1", "STATUS=1 of 1 daemons run"} <= set(heard):
            heard += systemd.recv(1000).decode().splitlines()
        tower.send(signal.SIGTERM)
        while "STOPPING=1" not in heard:
            heard += systemd.recv(1000).decode().splitlines()
        assert tower.wait() == 0


def test_a_daemon_that_cannot_be_loaded_is_told_at_the_start(start: Start) -> None:
    tower = start({"a": "no_such_toy"})
    assert tower.wait() == 75
    assert tower.lines("ConfigError: daemon a: __main__:no_such_toy cannot be loaded")
