"""The stand-in pilot in NorduGrid mode, as a process and pretended: it tells nobody and leaves its report behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from panda_kit import QUEUE, status

from act.simulation import TestCA
from act_atlas import pilot
from act_atlas.pandajob import PandaJob
from act_atlas.pilot_nordugrid import HEARTBEAT, OUTPUT_LIST, TROUBLES, destinations
from act_atlas.report import BadReport, PilotReport, missing_outputs, output_report, read_report
from act_atlas.simulator import PILOT_PATH, WRAPPER_PATH, CacheServer, Order, PandaSimulator, PretendPilot
from act_atlas.simulator.rules import Wanted
from act_atlas.trial import configuration

STORAGE = "davs://se.example.org:443/atlas/disk"
ARGUMENTS = f"-q {QUEUE} -j managed --pilot-user ATLAS --harvester-submit-mode PUSH -z -t --piloturl local --mute"


@pytest.fixture
def panda(ca: TestCA) -> Iterator[PandaSimulator]:
    """Its only queue is in NorduGrid mode."""
    with PandaSimulator(ca, adder_s=5) as simulator:
        simulator.board.cric = {QUEUE: configuration.cric_entry(QUEUE, [], storage=STORAGE)}
        yield simulator


@dataclass
class Session:
    """A job and the directory it runs in."""

    panda: PandaSimulator
    directory: Path
    job: PandaJob

    def report(self) -> PilotReport:
        with (self.directory / HEARTBEAT).open("rb") as f:
            return read_report(f, self.job.panda_id, log_file=self.job.text("logFile"))

    @property
    def listed(self) -> dict[str, str]:
        return dict(line.split() for line in (self.directory / OUTPUT_LIST).read_text().splitlines())

    def start(self) -> subprocess.Popen[bytes]:
        with CacheServer(self.panda.board) as cache:
            for path in (WRAPPER_PATH, PILOT_PATH, f"/cache/schedconfig/{QUEUE}.all.json"):
                name = "queuedata.json" if path.endswith("json") else path.rpartition("/")[2]
                with urllib.request.urlopen(cache.url + path, timeout=5) as answer:
                    (self.directory / name).write_bytes(answer.read())
        wrapper = self.directory / "runpilot2-wrapper.sh"
        wrapper.chmod(0o755)
        environment = {"PATH": os.environ["PATH"], "PANDA_JSID": "act-1"}
        return subprocess.Popen([str(wrapper), *ARGUMENTS.split()], cwd=self.directory, env=environment)

    def run(self) -> int:
        return self.start().wait(30)


def session(panda: PandaSimulator, directory: Path, **order: Any) -> Session:
    panda.board.define(Order(QUEUE, **order))
    (fields,) = panda.board.acquire(Wanted(QUEUE), "test")
    job = PandaJob(fields)
    (directory / pilot.JOB_DATA).write_text(job.encode())
    return Session(panda, directory, job)


def test_it_leaves_outputs_a_list_and_a_report_and_panda_hears_nothing(panda: PandaSimulator, tmp_path: Path) -> None:
    ran = session(panda, tmp_path, seconds=0.1)
    assert ran.run() == 0
    told = ran.report()
    assert (told.status, told.dropped, told.values["mean_core_count"]) == ("finished", (), 1)
    assert missing_outputs(ran.job, told.outputs) == ()
    for output in told.outputs:
        content = (tmp_path / output.lfn).read_bytes()
        assert (output.size, output.adler32) == (len(content), f"{zlib.adler32(content):08x}")
        assert output.surl == f"{STORAGE}/mc23_13p6TeV/{output.lfn}"
        place, *facts = ran.listed[output.lfn].replace(";httpputpartial=yes", "").rsplit(":", 2)
        assert (place, facts) == (output.surl, ["checksumtype=adler32", f"checksumvalue={output.adler32}"])
    assert [o.lfn for o in told.outputs if o.is_log] == [ran.job.text("logFile")]
    assert panda.board.summary()["executed"] == 1
    story = panda.board.describe()[ran.job.panda_id]
    assert (story["status"], story["updates"]) == ("sent", {})


def test_what_it_leaves_satisfies_panda(panda: PandaSimulator, tmp_path: Path) -> None:
    ran = session(panda, tmp_path, seconds=0)
    assert ran.run() == 0
    told = ran.report()
    values = {"attempt_nr": 1, "job_output_report": output_report(told.outputs), **told.values}
    panda.board.update(ran.job.panda_id, told.status, values, "tower")
    panda.board.clock.forward(6)
    assert status(panda, ran.job.panda_id) == "finished"


def test_a_worker_without_network_runs_it_all_the_same(panda: PandaSimulator, tmp_path: Path) -> None:
    ran = session(panda, tmp_path, seconds=0)
    panda.stop()
    assert ran.run() == 0
    assert ran.report().status == "finished"


@pytest.mark.parametrize(("spoil", "code", "why"), [
    (lambda path: path.unlink(), 1099, "is not there"),
    (lambda path: path.write_bytes(b"longer than it was"), 1099, "bytes, not 5"),
    (lambda path: path.write_bytes(b"other"), 1171, "adler32"),
    (lambda path: None, None, ""),
])  # fmt: skip
def test_it_checks_its_inputs(panda: PandaSimulator, tmp_path: Path, spoil: Any, code: int | None, why: str) -> None:
    inputs = {"in1": b"first", "in2": b"2"}
    ran = session(panda, tmp_path, seconds=0, fields=configuration.input_fields(inputs))
    for name, content in inputs.items():
        (tmp_path / name).write_bytes(content)
    spoil(tmp_path / "in1")
    assert ran.run() == 0
    told = ran.report()
    assert told.values.get("pilot_error_code") == (code or 0)
    assert why in str(told.values.get("pilot_error_diag", ""))
    assert told.status == ("failed" if code else "finished")


def test_a_failed_job_leaves_its_log_and_nothing_else(panda: PandaSimulator, tmp_path: Path) -> None:
    ran = session(panda, tmp_path, seconds=0, kind="fail")
    assert ran.run() == 0
    told = ran.report()
    assert (told.status, told.values["trans_exit_code"], told.values["pilot_error_code"]) == ("failed", 65, 1305)
    assert list(ran.listed) == [o.lfn for o in told.outputs] == [ran.job.text("logFile")]


def test_a_job_that_dies_leaves_nothing(panda: PandaSimulator, tmp_path: Path) -> None:
    ran = session(panda, tmp_path, seconds=0, kind="die")
    assert ran.run() == 65
    assert not (tmp_path / HEARTBEAT).exists()
    assert not (tmp_path / OUTPUT_LIST).exists()


def test_a_job_that_is_ended_says_so(panda: PandaSimulator, tmp_path: Path) -> None:
    ran = session(panda, tmp_path, seconds=60)
    process = ran.start()
    end = time.monotonic() + 20
    while not panda.board.summary()["executed"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert (ran.report().status, ran.report().values["pilot_error_code"]) == ("failed", pilot.TERMINATED)


@pytest.mark.parametrize("kind", TROUBLES)
def test_every_trouble_is_met_by_the_reader(panda: PandaSimulator, tmp_path: Path, kind: str) -> None:
    ran = session(panda, tmp_path, seconds=0, kind=kind)
    assert ran.run() == 0
    log, names = ran.job.text("logFile"), ran.job.names("outFiles")
    match kind:
        case "absent":
            assert not (tmp_path / HEARTBEAT).exists()
        case "truncated" | "huge" | "nested" | "wrong-job":
            with pytest.raises(BadReport):
                ran.report()
        case "hell":
            assert {o.lfn for o in ran.report().outputs} == {*names, *ran.listed}
            assert len(ran.report().dropped) > 5
        case "wrong-checksum":
            assert {o.adler32 for o in ran.report().outputs} == {"0badcafe"}
        case "missing-output":
            assert list(ran.listed) == [log]
            assert missing_outputs(ran.job, ran.report().outputs) == ()


@pytest.mark.parametrize(("protocols", "url"), [
    ({"pw": [["https://se:1094", "/base/", 1]], "r": [["https://other", "/", 2]]}, "https://se:1094/base/s/out"),
    ({"pw": [], "write_lan": [["root://se:1094", "//base", 1]]}, "root://se:1094/base/s/out"),
    ({"w": [["file://", "/data", 1]]}, "file:///data/s/out"),
])  # fmt: skip
def test_destinations_come_from_the_queues_protocols(protocols: dict[str, Any], url: str) -> None:
    job = {"outFiles": "l.log.tgz,out", "logFile": "l.log.tgz", "scopeOut": "s", "scopeLog": "logs"}
    places = destinations(job, {"aprotocols": protocols})
    assert places == {"out": url, "l.log.tgz": url.replace("s/out", "logs/l.log.tgz")}


class CEJob:
    """As a simulated CE shows it."""

    def __init__(self, pandaid: int) -> None:
        self.panda_id = str(pandaid)
        self.exit_code: int | None = None


def pretended(panda: PandaSimulator, **order: Any) -> tuple[PandaJob, PretendPilot, CEJob]:
    """A job that has run at a pretending CE."""
    panda.board.define(Order(QUEUE, **order))
    (fields,) = panda.board.acquire(Wanted(QUEUE), "test")
    job, pretender = PandaJob(fields), PretendPilot(panda.board)
    at_ce = CEJob(job.panda_id)
    pretender.on_start(at_ce)
    at_ce.exit_code = at_ce.exit_code or 0
    pretender.on_end(at_ce)
    return job, pretender, at_ce


@pytest.mark.parametrize(("kind", "state"), [("ok", "finished"), ("fail", "failed"), ("hell", "finished")])
def test_the_pretended_pilot_leaves_the_same_report(panda: PandaSimulator, kind: str, state: str) -> None:
    job, pretender, at_ce = pretended(panda, kind=kind)
    content = pretender.output(at_ce, HEARTBEAT, b"")
    assert content is not None
    told = read_report(io.BytesIO(content), job.panda_id, log_file=job.text("logFile"))
    assert told.status == state
    assert {o.lfn for o in told.outputs} == set(job.names("outFiles") if kind != "fail" else [job.text("logFile")])
    assert pretender.output(at_ce, "other", b"made up") == b"made up"
    assert panda.board.describe()[job.panda_id]["updates"] == {}
    assert panda.board.summary()["executed"] == 1


@pytest.mark.parametrize(("kind", "code"), [("die", 65), ("absent", 0), ("vanish", 0)])
def test_the_pretended_pilot_may_leave_nothing(panda: PandaSimulator, kind: str, code: int) -> None:
    _, pretender, at_ce = pretended(panda, kind=kind)
    assert at_ce.exit_code == code
    assert pretender.output(at_ce, HEARTBEAT, b"") is None


def test_the_pretended_pilot_stores_outputs_once(panda: PandaSimulator, tmp_path: Path) -> None:
    panda.board.cric = {QUEUE: configuration.cric_entry(QUEUE, [], storage=f"file://{tmp_path}")}
    job, pretender, at_ce = pretended(panda)
    content = pretender.output(at_ce, HEARTBEAT, b"")
    assert content is not None
    outputs = read_report(io.BytesIO(content), job.panda_id).outputs
    assert len(outputs) == 2
    for output in outputs:
        path = Path(output.surl.removeprefix("file://"))
        assert f"{zlib.adler32(path.read_bytes()):08x}" == output.adler32
        path.unlink()
    pretender.output(at_ce, HEARTBEAT, b"")
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_facts_of_an_unknown_queue_are_not_there(panda: PandaSimulator) -> None:
    with CacheServer(panda.board) as cache:
        with urllib.request.urlopen(f"{cache.url}/cache/schedconfig/{QUEUE}.all.json", timeout=5) as answer:
            assert json.loads(answer.read())["copytools"] == {"mv": {}}
        with pytest.raises(urllib.error.HTTPError) as failure:
            urllib.request.urlopen(f"{cache.url}/cache/schedconfig/OTHER.all.json", timeout=5)
        with failure.value as error:
            assert error.code == 404
