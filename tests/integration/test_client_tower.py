"""The whole way of people's jobs: from their descriptions to the results of programs that a CE really ran."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from act.client.model import Begun, Confirmed, Filter
from act.daemons.context import Context
from act.simulation import TestCA
from act.x509 import make_proxy
from act_arc.simulator import ArcSimulator
from tests.integration.client_tower import DAEMONS, ClientTower

WITHIN_S = 120
JOBS = 20
PROGRAM = """#!/bin/sh
mkdir -p out; cp data.txt out/copy.txt; echo "job $1"; echo trouble >&2
case $1 in fail*) exit 3;; slow*) sleep 600;; esac
"""
FAST = """<ca_dir>{ca_dir}</ca_dir><daemons><idle_s>0.05</idle_s></daemons>
<polling><status_s>0.1</status_s><missing_s>1</missing_s><delegation_idle_s>1</delegation_idle_s></polling>"""


class RealTower(ClientTower):
    """Its CEs are reached over the network."""

    def context(self) -> Context:
        return Context(self.config)


@pytest.fixture
def ce(tmp_path: Path, ca: TestCA) -> Iterator[ArcSimulator]:
    with ArcSimulator(tmp_path / "ce", ca, queues=("grid",)) as ce:
        yield ce


@pytest.fixture
def tower(tmp_path: Path, database_url: str, ca: TestCA, ce: ArcSimulator) -> Iterator[RealTower]:
    tower = RealTower(tmp_path / "people", database_url, ces=(ce.url, ce.url), extra=FAST.format(ca_dir=ca.ca_dir))
    yield tower
    tower.assert_counted()
    tower.assert_explained()
    tower.close()


def described(name: str) -> str:
    return json.dumps(
        {
            "name": name, "executable": "run.sh", "arguments": [name], "stderr": "err.txt",
            "inputs": [{"name": "run.sh", "executable": True}, {"name": "data.txt"}], "outputs": [{"name": "out/"}],
        }
    )  # fmt: skip


def drive(tower: RealTower, done: Any) -> None:
    """The daemons work on until something is so."""
    end = time.monotonic() + WITHIN_S
    while not done():
        assert time.monotonic() < end, [(r.id, r.shown, r.attempt_state, r.error) for who in tower.callers
                                        for r in tower.all(who)]  # fmt: skip
        tower.once(*DAEMONS)
        time.sleep(0.05)


def test_jobs_run_with_their_files_and_their_results_land(tower: RealTower, ce: ArcSimulator, ca: TestCA) -> None:
    certificate, key = (path.read_bytes() for path in ca.user("ann"))
    ann = tower.caller(pem=make_proxy(certificate, key, 3600))
    names = [f"{'fail' if n % 5 == 4 else 'slow' if n % 5 == 3 else 'good'}{n}" for n in range(JOBS)]
    jobs = [b.id for b in tower.jobs.begin(ann, [["one"]] * JOBS, key="once") if isinstance(b, Begun)]
    for job, name in zip(jobs, names, strict=True):
        tower.jobs.upload(ann, job, "run.sh", io.BytesIO(PROGRAM.encode()))
        tower.jobs.upload(ann, job, "data.txt", io.BytesIO(f"data of {name}".encode()))
    answers = tower.jobs.confirm(ann, [(j, described(n), "json") for j, n in zip(jobs, names, strict=True)])
    assert all(isinstance(a, Confirmed) for a in answers)
    slow = [j for j, n in zip(jobs, names, strict=True) if n.startswith("slow")]
    drive(tower, lambda: set(tower.shown(ann, *slow)) == {"running"})
    assert len(tower.jobs.kill(ann, Filter(name="slow"))) == len(slow)
    ended = {"done", "donefailed", "cancelled"}
    drive(tower, lambda: set(tower.shown(ann, *jobs)) <= ended)
    for job, name in zip(jobs, names, strict=True):
        detail = tower.jobs.one(ann, job)
        wanted = {"good": ("done", 0), "fail": ("donefailed", 3)}.get(name[:4], ("cancelled", None))
        assert detail.row.shown == wanted[0]
        if wanted[1] is None:
            continue
        assert detail.row.exit_code == wanted[1]
        assert [f.name for f in detail.results] == ["err.txt", "out/copy.txt", "stdout.txt"]
        for file, content in (("stdout.txt", f"job {name}\n"), ("out/copy.txt", f"data of {name}")):
            with tower.jobs.open_result(ann, job, file) as (body, told):
                text = body.read().decode()
                assert (text, told.size) == (content, len(content))
    assert len(tower.jobs.clean(ann, Filter())) == JOBS
    drive(tower, lambda: tower.jobs.usage(ann).jobs == 0)
    assert tower.store.list() == []
    assert not ce.engine.jobs
