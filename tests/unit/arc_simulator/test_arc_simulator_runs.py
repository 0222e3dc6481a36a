"""Jobs that really run at the simulated ARC CE: processes, files, credentials."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from arc_sim_kit import Make, job


def test_a_job_really_runs_with_its_files_and_its_credential(make: Make, tmp_path: Path) -> None:
    _, alice = make(run="really")
    source = tmp_path / "source"
    source.write_text("fetched")
    inputs = f'(inputfiles=("in" "file://{source}")("x" ""))(environment=("WHO" "me"))(outputfiles=("d/" ""))'
    script = "echo $WHO $(cat in x); head -1 $X509_USER_PROXY; mkdir d; echo kept >d/f; echo dropped >g"
    made = alice.create(job("real", inputs, script), delegation_id=alice.delegate())
    alice.put(made, "x", b"uploaded")
    assert alice.wait(made, "FINISHED", "FAILED") == "FINISHED"
    assert alice.get(made, "out.txt").body == b"me fetcheduploaded\n-----BEGIN CERTIFICATE-----\n"
    assert alice.get(made, "").json == {"file": ["out.txt"], "dir": ["d"]}
    assert alice.info(made)["ExitCode"] == "0"


def test_arguments_pass_through_a_shell_in_double_quotes(make: Make) -> None:
    _, alice = make(run="really")
    words = '"a""b" "c\\d" "it\'s" "$WHO" "`echo me`" ""'
    more = '(environment=("WHO" "you"))(stdout=out.txt)(outputfiles=("out.txt" ""))'
    made = alice.create(f'&(executable=/usr/bin/printf)(arguments="<%s>" {words}){more}')
    assert alice.wait(made, "FINISHED", "FAILED") == "FINISHED"
    assert alice.get(made, "out.txt").body == b"<a\"b><c\\d><it's><you><me><>"


def test_a_job_without_its_program_dies(make: Make) -> None:
    _, alice = make(run="really")
    made = alice.create("&(executable=nosuch)")
    alice.wait(made, "FAILED")
    assert alice.info(made)["Error"] == "LRMS error: (-1) Job died unexpectedly"


def test_a_really_failing_job_tells_its_exit_code(make: Make) -> None:
    _, alice = make(run="really")
    made = alice.create(job(script="exit 3"))
    alice.wait(made, "FAILED")
    assert alice.info(made)["ExitCode"] == "3"
    assert alice.info(made)["Error"] == "LRMS error: (3) Job finished with wrong exit code - 3 != 0"


def test_a_missing_source_fails_the_staging(make: Make) -> None:
    sim, alice = make(run="really")
    made = alice.create(job("r", '(inputfiles=("in" "file:///nonexistent/file"))'))
    alice.wait(made, "FAILED")
    assert alice.info(made)["Error"].startswith("Failed in data staging")
    assert sim.state()["executions"] == {"r": 0}


@pytest.mark.parametrize("end", ["kill", "walltime", "close"])
def test_no_process_of_a_job_survives_it(make: Make, tmp_path: Path, end: str) -> None:
    sim, alice = make(run="really")
    started = tmp_path / "pids"
    more = '(walltime="0.3 seconds")' if end == "walltime" else ""
    more += '(environment=("D" "$"))'
    script = "sleep 100 & echo ${D}${D} ${D}! >" + f"{started}; sleep 100"
    made = alice.create(job(more=more, script=script))
    while not started.exists() or not started.read_text().endswith("\n"):
        time.sleep(0.01)
    pids = started.read_text().split()
    if end == "kill":
        alice.manage("kill", made)
        assert alice.wait(made, "KILLED", "FAILED") == "KILLED"
    elif end == "walltime":
        assert alice.wait(made, "FAILED") == "FAILED"
    else:
        sim.close()
    for pid in pids:
        while _alive(pid):
            time.sleep(0.01)


def _alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False
