"""Rules of the PanDA server that a tower can see, shown by the simulator."""

from __future__ import annotations

import gzip
import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from panda_kit import QUEUE, raw, status, v1

from act.simulation import TestCA
from act_atlas.simulator import Order, PandaSimulator
from act_atlas.simulator.rules import Wanted

MINUTE, HOUR = 60.0, 3600.0


def test_json_is_sent_as_text_and_only_if_asked_for_exactly(sim: PandaSimulator, ca: TestCA) -> None:
    asked = raw(sim, ca, "/api/v1/system/is_alive", Accept="application/json")
    assert asked == (200, "text/plain", b'{"success": true, "message": "", "data": null}')
    unasked = raw(sim, ca, "/api/v1/system/is_alive", Accept="application/json; charset=utf-8")
    assert unasked == (200, "text/plain", b"{'success': True, 'message': '', 'data': None}")


@pytest.mark.parametrize("path", ["/api/v1/pilot/nothing", "/server/panda/getEverything", "/api/v1/pilot", "/else"])
def test_unknown_paths_are_forbidden_not_missing(sim: PandaSimulator, ca: TestCA, path: str) -> None:
    code, _, body = raw(sim, ca, path)
    assert code == 403 and body.endswith(b"is forbidden")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"site_name": QUEUE, "x": 1}, "Argument error: got an unexpected keyword argument 'x'"),
        ({"n_jobs": 1}, "Argument error: missing a required argument: 'site_name'"),
        ({"site_name": QUEUE, "n_jobs": "1"}, "Type error: 'n_jobs' must be of type int, got str."),
        ({"site_name": QUEUE, "timeout": 5}, "No jobs in PanDA"),
        ({"site_name": QUEUE, "memory": 100}, "No jobs in PanDA"),
    ],
)
def test_acquire_is_strict(sim: PandaSimulator, ca: TestCA, arguments: dict[str, Any], message: str) -> None:
    sim.board.define(Order(QUEUE))
    assert v1(sim, ca, "pilot/acquire_jobs", **arguments) == {"success": False, "message": message, "data": None}


def test_a_bulk_element_without_id_fails_the_call_after_the_earlier_ones(sim: PandaSimulator, ca: TestCA) -> None:
    (pandaid,) = sim.board.define(Order(QUEUE))
    good = {"job_id": pandaid, "job_status": "running"}
    bad_type = {**good, "mean_core_count": 1.5}
    answer = v1(sim, ca, "pilot/update_jobs_bulk", job_list=[bad_type, good])
    assert [e["success"] for e in answer["data"]] == [False, True]
    answer = v1(sim, ca, "pilot/update_jobs_bulk", job_list=[{**good, "job_status": "holding"}, {"job_id": pandaid}])
    assert answer["success"] is False and answer["data"] == []
    assert status(sim, pandaid) == "holding"


def test_legacy_wants_forms_or_gzipped_json(sim: PandaSimulator, ca: TestCA) -> None:
    sim.board.define(Order(QUEUE, count=2))
    path, body = "/server/panda/getJob", json.dumps({"siteName": QUEUE}).encode()
    code, _, text = raw(sim, ca, path, body, Content_Type="application/json")
    assert code == 500 and b"ot a gzipped file" in text
    code, _, text = raw(sim, ca, path, gzip.compress(body), Content_Type="application/json")
    assert code == 200 and text.startswith(b"StatusCode=0&")
    code, _, text = raw(sim, ca, "/server/panda/updateJob", b"jobId=1", Accept="*/*")
    assert (code, text) == (500, b"updateJob() missing 1 required positional argument: 'state'")
    assert raw(sim, ca, path, b"siteName=nowhere")[2] == b"StatusCode=20"


@pytest.mark.parametrize(
    ("words", "alive_for"),
    [
        ([], 29 * MINUTE), (["starting"], 119 * MINUTE), (["starting", "running"], 119 * MINUTE),
        (["running", "transferring"], 47 * HOUR), (["running", "holding"], 2.9 * HOUR),
    ],
)  # fmt: skip
def test_silence_ends_a_job(sim: PandaSimulator, words: list[str], alive_for: float) -> None:
    (pandaid,) = sim.board.define(Order(QUEUE))
    sim.board.acquire(Wanted(QUEUE), "test")
    for word in words:
        sim.board.update(pandaid, word, {}, "test")
    before = status(sim, pandaid)
    sim.board.clock.forward(alive_for)
    assert status(sim, pandaid) == before
    sim.board.clock.forward(2 * HOUR)
    assert status(sim, pandaid) == "failed"


def test_heartbeats_that_are_ignored_do_not_keep_a_job_alive(sim: PandaSimulator) -> None:
    (pandaid,) = sim.board.define(Order(QUEUE, priority=900))
    sim.board.acquire(Wanted(QUEUE), "test")
    sim.board.update(pandaid, "holding", {}, "test")
    sim.board.clock.forward(2 * HOUR)
    assert sim.board.update(pandaid, "running", {}, "test").code == 0
    sim.board.clock.forward(1.1 * HOUR)
    assert status(sim, pandaid) == "failed"


def test_starting_while_running_counts_as_a_sign_of_life(sim: PandaSimulator) -> None:
    (pandaid,) = sim.board.define(Order(QUEUE))
    sim.board.acquire(Wanted(QUEUE), "test")
    for word in ("running", "starting", "starting"):
        sim.board.update(pandaid, word, {}, "test")
        sim.board.clock.forward(1.5 * HOUR)
    assert status(sim, pandaid) == "running"


def test_final_report_without_attempt_number_stays_in_holding(sim: PandaSimulator) -> None:
    (pandaid,) = sim.board.define(Order(QUEUE, priority=1))
    sim.board.acquire(Wanted(QUEUE), "test")
    sim.board.update(pandaid, "failed", {}, "test")
    sim.board.clock.forward(47 * HOUR)
    assert status(sim, pandaid) == "holding"
    sim.board.clock.forward(2 * HOUR)
    assert status(sim, pandaid) == "failed"


def test_batch_ids_that_clash_lose_the_update(sim: PandaSimulator) -> None:
    (pandaid,) = sim.board.define(Order(QUEUE))
    sim.board.acquire(Wanted(QUEUE), "test")
    assert sim.board.update(pandaid, "starting", {"batch_id": "abc"}, "test").code == 0
    assert sim.board.update(pandaid, "running", {"batch_id": "xyz"}, "test").code == 30
    assert sim.board.update(pandaid, "running", {"batch_id": "12.5"}, "test").code == 0


def test_simulator_runs_alone_and_is_steered_over_its_port(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "act_atlas.simulator", "--dir", str(tmp_path), "--clock-rate", "100"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        places = json.loads(process.stdout.readline())
        context = ssl.create_default_context(capath=places["ca_dir"])

        def steer(what: str, body: Any = None) -> Any:
            data = None if body is None else json.dumps(body).encode()
            with urllib.request.urlopen(f"{places['url']}/_sim/{what}", data, timeout=5, context=context) as answer:
                return json.loads(answer.read())

        ids = steer("jobs", [{"queue": QUEUE, "count": 2}, {"queue": QUEUE, "kind": "fail", "exit_code": 3}])[
            "pandaids"
        ]
        assert len(ids) == 3
        assert steer("kill", {"pandaids": [ids[0]]}) == {"killed": [True]}
        steer("cric", {QUEUE: {"name": QUEUE}})
        assert steer("clock", {"forward": 3 * 86400, "rate": 1}) and steer("summary")["jobs"] == {
            "cancelled": 1,
            "closed": 2,
        }
        assert steer(f"jobs?ids={ids[0]}")[str(ids[0])]["status"] == "cancelled"
        with urllib.request.urlopen(places["cric"], timeout=5, context=context) as answer:
            assert json.loads(answer.read()) == {QUEUE: {"name": QUEUE}}
        with pytest.raises(urllib.error.HTTPError) as error:
            steer("jobs", {"queue": QUEUE, "kind": "odd"})
        error.value.close()
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0
        process.stdout.close()  # type: ignore[union-attr]
