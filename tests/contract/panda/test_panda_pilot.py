"""The stand-in pilot as a process, and the one that only pretends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from panda_kit import QUEUE, acquire, status

from act_atlas import pilot
from act_atlas.panda import PandaClient
from act_atlas.simulator import WRAPPER_PATH, CacheServer, Order, PandaSimulator, PretendPilot
from act_atlas.simulator.rules import Wanted

Process = subprocess.Popen[bytes]


def run_pilot(sim: PandaSimulator, client: PandaClient, where: Path, **order: Any) -> tuple[int, Process]:
    """(PandaID, process) of a job that the pilot, fetched as a wrapper, runs in a directory of its own."""
    sim.board.define(Order(QUEUE, **order))
    (job,) = acquire(client).jobs
    (where / pilot.JOB_DATA).write_text(job.urlencoded())
    with CacheServer(sim.board) as cache, urllib.request.urlopen(cache.url + WRAPPER_PATH, timeout=5) as answer:
        wrapper = where / "runpilot2-wrapper.sh"
        wrapper.write_bytes(answer.read())
    wrapper.chmod(0o755)
    host, _, port = sim.url.rpartition(":")
    arguments = (
        f"-q {QUEUE} -j managed --pilot-user ATLAS --harvester-submit-mode PUSH -w generic --url {host} -p {port}"
    )
    environment = {"PATH": os.environ["PATH"], "PANDA_JSID": "act-1"}
    process = subprocess.Popen([str(wrapper), *arguments.split()], cwd=where, env=environment, stdout=subprocess.PIPE)
    return job.pandaid, process


def ended(process: Process) -> tuple[int, str]:
    output, _ = process.communicate(timeout=30)
    return process.returncode, output.decode()


@pytest.mark.parametrize(
    ("kind", "code", "state"),
    [("ok", 0, "finished"), ("fail", 65, "failed"), ("incomplete", 0, "failed"), ("die", 65, "running"),
     ("silent", 0, "finished")],
)  # fmt: skip
def test_pilot_runs_a_job_once_and_reports_it(
    sim: PandaSimulator, client: PandaClient, tmp_path: Path, kind: str, code: int, state: str
) -> None:
    pandaid, process = run_pilot(sim, client, tmp_path, kind=kind, seconds=0.1)
    assert ended(process)[0] == code
    sim.board.clock.forward(6)
    story = sim.board.describe([pandaid])[pandaid]
    assert story["status"] == state
    assert len(story["executions"]) == 1
    assert ("running" in story["updates"]) is (kind != "silent")
    assert (tmp_path / f"log.{pandaid}._000001.job.log.tgz").exists()


def until(what: Any) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("how", ["panda", "ce"])
def test_pilot_obeys_whoever_ends_the_job(sim: PandaSimulator, client: PandaClient, tmp_path: Path, how: str) -> None:
    pandaid, process = run_pilot(sim, client, tmp_path, seconds=60)
    until(lambda: status(sim, pandaid) == "running")
    if how == "panda":
        sim.board.kill(pandaid)
    else:
        process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 1
    sim.board.clock.forward(6)
    assert status(sim, pandaid) == ("cancelled" if how == "panda" else "failed")


def test_pilot_reports_although_panda_was_away(sim: PandaSimulator, client: PandaClient, tmp_path: Path) -> None:
    sim.faults.add({"path": "update_job$", "action": "error-before", "times": 2})
    pandaid, process = run_pilot(sim, client, tmp_path, seconds=0)
    assert ended(process)[0] == 0
    sim.board.clock.forward(6)
    assert status(sim, pandaid) == "finished"


class CEJob:
    """As a simulated CE shows it."""

    def __init__(self, pandaid: int) -> None:
        self.panda_id = str(pandaid)
        self.exit_code: int | None = 0


@pytest.mark.parametrize(
    ("kind", "code", "state"),
    [("ok", 0, "finished"), ("fail", 65, "failed"), ("incomplete", 0, "failed"), ("die", 65, "running"),
     ("ok", None, "failed")],
)  # fmt: skip
def test_pretended_pilot_reports_like_a_real_one(sim: PandaSimulator, kind: str, code: int | None, state: str) -> None:
    (pandaid,) = sim.board.define(Order(QUEUE, kind=kind))
    sim.board.acquire(Wanted(QUEUE), "test")
    pretender, job = PretendPilot(sim.board), CEJob(pandaid)
    pretender.on_start(job)
    assert status(sim, pandaid) == "running"
    job.exit_code = code
    pretender.on_end(job)
    sim.board.clock.forward(6)
    assert status(sim, pandaid) == state
    assert sim.board.summary()["executed"] == 1
