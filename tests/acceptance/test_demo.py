"""The demonstration as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.signals import hear_ctrl_c

pytestmark = pytest.mark.slow

DEMO = (sys.executable, "-m", "act.cli", "demo")
JOBS = 20


def test_twenty_jobs_end_as_they_should_also_the_second_time_and_nothing_stays_behind(tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run(DEMO, cwd=tmp_path, text=True, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"All {JOBS} jobs ended as they should" in done.stdout
        assert "and so did 3 that a user submitted with actcli" in done.stdout
        assert processes_below(tmp_path) == []
    told = done.stdout.splitlines()
    firsts = [line.split()[0] for line in told if line.startswith("60000000")]
    assert len(firsts) == len(set(firsts)) == JOBS
    logs = [
        tmp_path / ".demo/joblog" / word for line in told for word in line.split() if word.endswith((".out", ".jdl"))
    ]
    assert len(logs) == JOBS
    assert all(log.is_file() for log in logs)


NEWCOMER = """set -e
. .demo/scientist/actcli.sh
actcli proxy
actcli run --name hello -- /bin/echo Hello, grid
until actcli stat --state done --format csv | grep -q hello; do sleep 0.5; done
actcli get --all --use-jobname
cat hello/stdout.txt
"""


def test_a_newcomer_has_a_job_done_by_the_tower_that_stays(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*DEMO, "--stay", "--jobs", "14"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "actcli get" in line:
            break
    shell = subprocess.run(
        ["bash", "-c", NEWCOMER], cwd=tmp_path, text=True, capture_output=True, timeout=90, check=False
    )
    assert shell.returncode == 0, shell.stdout + shell.stderr
    assert shell.stdout.endswith("\nHello, grid\n")
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)
    assert demo.returncode == 0
    assert processes_below(tmp_path) == []


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        DEMO, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "running" in line:
            break
    assert len(processes_below(tmp_path)) > JOBS / 2
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=60)
    assert demo.returncode == 128 + signal.SIGINT, out + err
    assert "Traceback" not in err
    assert processes_below(tmp_path) == []


def test_nothing_outlives_a_demonstration_that_is_killed(tmp_path: Path) -> None:
    demo = subprocess.Popen(DEMO, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "running" in line:
            break
    demo.kill()
    demo.communicate(timeout=10)
    end = time.monotonic() + 40
    while left := processes_below(tmp_path):
        assert time.monotonic() < end, left
        time.sleep(0.5)


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.touch()
    done = subprocess.run(
        [*DEMO, "--directory", str(tmp_path)], text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f"{tmp_path} is not empty" in done.stderr
    assert precious.exists()


def processes_below(directory: Path) -> list[str]:
    """Processes that name the directory in their command or environment, or work in it: "pid command"."""
    found = []
    mark = str(directory).encode()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            words = [(process / name).read_bytes() for name in ("cmdline", "environ")]
            if any(mark in word for word in words) or str((process / "cwd").readlink()).startswith(str(directory)):
                found.append(f"{process.name} {words[0].decode(errors='replace')}")
        except OSError:
            continue  # it has ended, or is not ours
    return found
