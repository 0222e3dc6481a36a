"""Data staging at the simulated ARC CE: what is fetched and brought away, what a failure says, what is repeated."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from arc_sim_kit import Client, Make, job

from act.simulation import Request, Response, SimServer, TestCA
from act_arc.simulator import SimJob
from act_arc.simulator.staging import NO_LIST, plain


class Storage(SimServer):
    """Keeps what is PUT by somebody with a credential."""

    def __init__(self, ca: TestCA) -> None:
        super().__init__(ca)
        self.files: dict[str, bytes] = {}
        self.who: set[str] = set()

    def handle(self, request: Request) -> Response:
        if request.identity is None:
            return Response(403)
        self.who.add(request.identity)
        if request.method == "PUT":
            self.files[request.path] = request.body
            return Response(201)
        return Response(200, self.files[request.path]) if request.path in self.files else Response(404)


@pytest.fixture
def storage(ca: TestCA) -> Iterator[Storage]:
    with Storage(ca) as storage:
        yield storage


def listing(storage: Storage, *names: str) -> str:
    """A shell script that makes files and the list of outputs."""
    url = f"davs://localhost:{storage.port}/data"
    lines = [f"echo {n} >{n}; echo {n} {url}/{n}:checksumtype=adler32:checksumvalue=00000001 >>output.list"
             for n in names]  # fmt: skip
    return "; ".join(["echo report >heartbeat.json", *lines])


OUTPUTS = '(outputfiles=("heartbeat.json" "")("@output.list" ""))'


def run(alice: Client, script: str, more: str = OUTPUTS) -> str:
    return alice.create(job("staged", more, script), delegation_id=alice.delegate())


@pytest.mark.parametrize(("url", "as_others_know_it"), [
    ("davs://se.example.org:1094/a/b", "https://se.example.org:1094/a/b"),
    ("https://se;cache=no;x=y/a:b/c:checksumtype=adler32:checksumvalue=1", "https://se/a:b/c"),
    ("/local/file", "file:///local/file"),
    ("file:///local/file", "file:///local/file"),
    ("rucio://rucio;rucioaccount=pilot/replicas/s/n", "rucio://rucio/replicas/s/n"),
])  # fmt: skip
def test_urls_lose_what_only_arc_understands(url: str, as_others_know_it: str) -> None:
    assert plain(url) == as_others_know_it


def test_inputs_are_fetched_and_listed_outputs_brought_away_with_the_users_credential(
    make: Make, storage: Storage
) -> None:
    _, alice = make(run="really")
    storage.files["/data/in"] = b"fetched"
    inputs = f'(inputfiles=("in" "davs://localhost:{storage.port};cache=no/data/in"))'
    made = run(alice, f"{listing(storage, 'a', 'b')}; cp in a; echo lost >c", inputs + OUTPUTS)
    assert alice.wait(made, "FINISHED", "FAILED") == "FINISHED"
    assert {n: c for n, c in storage.files.items() if n != "/data/in"} == {"/data/a": b"fetched", "/data/b": b"b\n"}
    assert [who.rpartition("=")[2] for who in storage.who] == ["alice"]
    assert alice.get(made, "").json["file"] == ["heartbeat.json", "out.txt"]


@pytest.mark.parametrize("source", ["rucio://rucio.example.org/replicas/s/n", "https://localhost:{port}/nothing"])
def test_an_input_that_cannot_be_had_fails_the_job_before_it_runs(make: Make, storage: Storage, source: str) -> None:
    sim, alice = make(run="really")
    made = run(alice, "true", f'(inputfiles=("in" "{source.format(port=storage.port)}"))(rerun="2")')
    assert alice.wait(made, "FAILED") == "FAILED"
    told = alice.info(made)
    assert told["Error"].startswith("Failed in data staging: Failed checking source replica")
    assert told["RestartState"] == ["nordugrid:PREPARING", "arcrest:PREPARING"]
    assert sim.state()["executions"] == {"staged": 0}


def test_staging_out_that_failed_is_repeated_for_what_is_left(make: Make, storage: Storage) -> None:
    sim, alice = make(run="really")
    storage.faults.add({"method": "PUT", "path": "/data/b", "action": "error-before", "status": 507, "times": 1})
    made = run(alice, listing(storage, "a", "b", "c"), f'{OUTPUTS}(rerun="1")')
    assert alice.wait(made, "FAILED", "FINISHED") == "FAILED"
    told = alice.info(made)
    assert told["Error"].startswith("Failed in data staging: ")
    assert told["RestartState"] == ["nordugrid:FINISHING", "arcrest:FINISHING"]
    assert storage.files.keys() == {"/data/a", "/data/c"}
    storage.files.clear()
    alice.manage("restart", made)
    assert alice.wait(made, "FINISHED") == "FINISHED"
    assert storage.files.keys() == {"/data/b"}
    assert sim.state()["executions"] == {"staged": 1}


def test_staging_out_that_always_fails_ends_when_no_restart_is_left(make: Make, storage: Storage) -> None:
    _, alice = make(run="really")
    storage.faults.add({"method": "PUT", "action": "error-before", "status": 500})
    made = run(alice, listing(storage, "a"), f'{OUTPUTS}(rerun="1")')
    alice.wait(made, "FAILED")
    assert alice.manage("restart", made)[0]["status-code"] == "202"
    alice.wait(made, "FAILED")
    assert alice.manage("restart", made)[0]["reason"] == "No more restarts allowed"


@pytest.mark.parametrize(("script", "error"), [
    ("true", NO_LIST), ("echo x davs://localhost:1/x >output.list", "Failed in data staging"),
])  # fmt: skip
def test_a_list_or_a_file_that_is_not_there_fails_the_job(make: Make, script: str, error: str) -> None:
    _, alice = make(run="really")
    made = run(alice, script)
    alice.wait(made, "FAILED")
    assert alice.info(made)["Error"].startswith(error)


def test_outputs_go_to_directories_too(make: Make, tmp_path: Path) -> None:
    _, alice = make(run="really")
    made = run(alice, f"echo x >x; echo x file://{tmp_path}/new/folder/x >output.list")
    assert alice.wait(made, "FINISHED", "FAILED") == "FINISHED"
    assert (tmp_path / "new/folder/x").read_text() == "x\n"


@pytest.mark.parametrize("how", ["really", "pretend"])
def test_staging_out_can_be_watched_and_killed(make: Make, storage: Storage, how: str) -> None:
    sim, alice = make(run=how, stage_s=0.3)
    made = run(alice, listing(storage, "a"))
    alice.wait(made, "FINISHING")
    alice.manage("kill", made)
    assert alice.wait(made, "KILLED", "FINISHED") == "KILLED"
    told = alice.info(made)
    assert told["Error"] == "Job is canceled by external request"
    assert told["RestartState"] == ["nordugrid:FINISHING", "arcrest:FINISHING"]
    sim.close()
    assert storage.files == {}
    assert sim.engine.jobs[made].state == "KILLED"


def test_staging_in_that_is_killed_leads_nowhere(make: Make, tmp_path: Path) -> None:
    sim, alice = make(run="really", stage_s=0.2)
    made = alice.create(job("staged", f'(inputfiles=("in" "file://{tmp_path}/in"))'))
    alice.manage("kill", made)
    time.sleep(0.4)
    assert alice.status(made) == "KILLED"
    assert sim.state()["executions"] == {"staged": 0}


def test_a_pretended_stage_out_fails_as_often_as_the_job_wants(make: Make) -> None:
    _, alice = make()
    more = '(rerun="2")'
    made = alice.create(f'&(executable="x")(arguments="--sim-stageout-fails=1")(jobname="p"){more}')
    assert alice.wait(made, "FAILED", "FINISHED") == "FAILED"
    alice.manage("restart", made)
    assert alice.wait(made, "FINISHED") == "FINISHED"


def test_a_hook_says_what_a_pretended_job_leaves(make: Make) -> None:
    asked = threading.Event()

    def content(ran: SimJob, name: str, default: bytes) -> bytes | None:
        asked.set()
        return {"heartbeat.json": b"{}", "none": None}.get(name, default)

    _, alice = make(on_output=content)
    made = alice.create('&(executable="x")(outputfiles=("heartbeat.json" "")("none" "")("out.txt" ""))')
    alice.wait(made, "FINISHED")
    assert alice.get(made, "heartbeat.json").body == b"{}"
    assert alice.get(made, "none").status == 404
    assert alice.get(made, "out.txt").body.startswith(b"pretended output")
    assert asked.is_set()
