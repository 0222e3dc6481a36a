"""A job in NorduGrid mode from PanDA's order to its files on the storage, without the tower's daemons between them."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from act.interfaces import ComputeElement
from act.model import CEAddress, CEStatus, Created, Proxy, Submission
from act.simulation import TestCA
from act.states import Event
from act.x509 import make_proxy
from act_arc.ce import factory
from act_arc.simulator import ArcSimulator
from act_atlas.config import load_atlas
from act_atlas.conversion import convert
from act_atlas.pandajob import PandaJob
from act_atlas.queueinfo import all_queues
from act_atlas.report import PilotReport, missing_outputs, read_report
from act_atlas.simulator import CRIC_PATH, WRAPPER_PATH, CacheServer, Order, PandaSimulator
from act_atlas.simulator.rules import Wanted
from act_atlas.trial import configuration
from tests.fakes import Stored

QUEUE = "NORDUGRID"
ENDED = (Event.FINISHED, Event.FAILED, Event.KILLED, Event.STAGEFAILED)
INPUTS = {"EVNT.1.root": b"events" * 1000, "EVNT.2.root": b"more events"}


@dataclass
class FarSides:
    """PanDA, a CE and a storage that is a directory."""

    panda: PandaSimulator
    ce: ComputeElement
    storage: Path
    directory: Path
    cache: str

    def submit(self, **order: Any) -> tuple[PandaJob, str]:
        """A job, and its id at the CE, where it may run."""
        self.panda.board.define(Order(QUEUE, fields=configuration.input_fields(INPUTS), **order))
        (fields,) = self.panda.board.acquire(Wanted(QUEUE), "test")
        job = PandaJob(fields)
        config = load_atlas(self._configuration())
        queues, problems = all_queues(self.panda.board.cric, config)
        assert problems == []
        spec = convert(job, queues[QUEUE], config, flavour="arc", created=time.time()).spec
        (made,) = self.ce.create([Submission(1, f"act.{job.panda_id}", spec, "default")], self.ce.delegate())
        assert isinstance(made, Created)
        assert self.ce.arm({made.ce_job_id: spec}) == {made.ce_job_id: None}
        return job, made.ce_job_id

    def wait(self, ce_job_id: str) -> CEStatus:
        """Until the CE's job has ended."""
        end = time.monotonic() + 30
        while True:
            found = self.ce.status([ce_job_id])[ce_job_id]
            assert isinstance(found, CEStatus)
            if found.event in ENDED:
                return found
            assert time.monotonic() < end, found
            time.sleep(0.1)

    def report(self, job: PandaJob, ce_job_id: str) -> PilotReport:
        """What the pilot left behind."""
        out = io.BytesIO()
        self.ce.fetch(ce_job_id, "heartbeat.json", out)
        out.seek(0)
        return read_report(out, job.panda_id, log_file=job.text("logFile"))

    def _configuration(self) -> Path:
        rules = configuration.nordugrid_rules(f"file://{self.storage}")
        path = self.directory / "aCTConfigATLAS.xml"
        path.write_text(configuration.fill(
            configuration.ATLAS, server=self.panda.url, cache=self.cache, protocol="v1", extra="",
            cric=self.panda.url + CRIC_PATH, wrapper=self.cache + WRAPPER_PATH, base=self.directory,
            queues=f'<queue name="{QUEUE}">{rules}</queue>',
        ))  # fmt: skip
        return path


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[FarSides]:
    ca = TestCA(tmp_path / "ca")
    certificate, key = (path.read_bytes() for path in ca.user("tower"))
    proxy = Proxy(1, "production", "", make_proxy(certificate, key, 3600))
    storage = tmp_path / "storage"
    for name, content in INPUTS.items():
        path = storage / configuration.SCOPE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with (
        PandaSimulator(ca, adder_s=0) as panda,
        ArcSimulator(tmp_path / "ce", ca) as arc,
        CacheServer(panda.board) as c,
    ):
        panda.board.cric = {
            QUEUE: configuration.cric_entry(QUEUE, [("ARC-CE", arc.url, "default")], storage=f"file://{storage}")
        }
        ce = factory(CEAddress(1, "arc", arc.url, ca.ca_dir), proxy, Stored())
        yield FarSides(panda, ce, storage, tmp_path, c.url)
        ce.close()


def test_inputs_arrive_and_outputs_are_where_the_report_says(sides: FarSides) -> None:
    job, ce_job_id = sides.submit(seconds=0)
    assert sides.wait(ce_job_id).event is Event.FINISHED
    told = sides.report(job, ce_job_id)
    assert told.status == "finished"
    assert missing_outputs(job, told.outputs) == ()
    for output in told.outputs:
        content = Path(output.surl.removeprefix("file://")).read_bytes()
        assert output.surl.startswith(f"file://{sides.storage}/")
        assert (output.size, output.adler32) == (len(content), f"{zlib.adler32(content):08x}")
    assert len(sides.panda.board.describe()[job.panda_id]["executions"]) == 1


def test_an_input_with_other_content_is_the_pilots_failure(sides: FarSides) -> None:
    (sides.storage / configuration.SCOPE / "EVNT.2.root").write_bytes(b"else events")
    job, ce_job_id = sides.submit(seconds=0)
    assert sides.wait(ce_job_id).event is Event.FINISHED
    told = sides.report(job, ce_job_id)
    assert (told.status, told.values["pilot_error_code"]) == ("failed", 1171)
    assert [o.is_log for o in told.outputs] == [True]


def test_an_input_that_is_not_there_is_a_failure_of_staging(sides: FarSides) -> None:
    (sides.storage / configuration.SCOPE / "EVNT.2.root").unlink()
    job, ce_job_id = sides.submit(seconds=0)
    status = sides.wait(ce_job_id)
    assert (status.event, status.armed) == (Event.STAGEFAILED, True)
    assert "EVNT.2.root" in status.error
    assert sides.panda.board.describe()[job.panda_id]["executions"] == []


def test_a_pilot_that_dies_leaves_no_report_and_no_outputs(sides: FarSides) -> None:
    _, ce_job_id = sides.submit(kind="die", seconds=0)
    status = sides.wait(ce_job_id)
    assert (status.event, status.exit_code) == (Event.FAILED, 65)
    assert {path.name for path in sides.storage.rglob("*") if path.is_file()} == set(INPUTS)
