"""What the end of an attempt means for its job, and what PanDA is told of it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from act_atlas import speech
from act_atlas.config import AtlasErrors
from act_atlas.outcome import Left, Outcome, of_nordugrid, of_true_pilot, of_validation
from act_atlas.report import Output, PilotReport
from act_atlas.states import PANDAJOB, Event

POLICY = AtlasErrors(resubmit=("Node fail",), max_attempts=2)
GOOD = Output("out.root", "g1", 10, "0000000a", surl="davs://se.example.org/atlas/out.root")
LOG = Output("log.tgz", "g2", 20, "0000000b", surl="davs://se.example.org/atlas/log.tgz", is_log=True)
FINISHED = PilotReport("finished", {"cpu_consumption_time": 100}, (GOOD, LOG))
FAILED = PilotReport("failed", {"pilot_error_code": 1305, "pilot_error_diag": "payload failed"}, (LOG,))


def job(**more: Any) -> Any:
    facts = {"state": "running", "attempts": 1, "job": "PandaID=1&outFiles=out.root%2Clog.tgz", "pandaid": 1,
             "queue": "Q", "attempt_nr": 3, "cores": 4, "truepilot": False, "told": None, "node": "wn1",
             "created": 1000.0, "start_time": 2000.0, "end_time": 2010.0, "error_code": None, "error_diag": None,
             "exit_code": None}  # fmt: skip
    return SimpleNamespace(**facts | more)


def attempt(state: str = "done", error: str | None = None) -> Any:
    return SimpleNamespace(state=state, error=error, ce_state="FAILED" if error else "FINISHED")


def end(left: Left, error: str | None = None, state: str = "donefailed", **more: Any) -> Outcome:
    return of_nordugrid(job(**more), attempt(state if error or state == "lost" else "done", error), left, POLICY)


@pytest.mark.parametrize(("error", "left", "attempts", "event"), [
    (None, Left(FINISHED), 1, Event.ENDED),
    (None, Left(), 1, Event.BROKEN),
    (None, Left(FAILED), 1, Event.BROKEN),
    ("Node fail", Left(), 1, Event.RESUBMIT),
    ("Node fail", Left(FINISHED), 1, Event.RESUBMIT),
    ("Node fail", Left(FAILED), 1, Event.BROKEN),
    ("Node fail", Left(), 2, Event.BROKEN),
    ("walltime exceeded", Left(), 1, Event.BROKEN),
])  # fmt: skip
def test_the_report_decides_and_without_one_the_error_of_the_ce(
    error: str | None, left: Left, attempts: int, event: Event
) -> None:
    assert end(left, error, attempts=attempts).events == (event,)


def test_an_attempt_given_up_as_lost_is_never_tried_again_whatever_its_error_was() -> None:
    lost = of_nordugrid(job(), attempt("lost", "Node fail"), Left(), POLICY)
    assert (lost.events, lost.error_code) == ((Event.BROKEN,), 9001)


def test_outputs_that_the_report_does_not_name_or_place_are_missing() -> None:
    nowhere = Output("out.root", "g1", 10, "0000000a")
    found = end(Left(PilotReport("finished", {}, (nowhere,)))).files
    assert [(f.lfn, f.host, f.finding) for f in found] == [("out.root", "", "missing"), ("log.tgz", "", "missing")]


def test_an_output_without_size_or_checksum_makes_the_attempt_worthless() -> None:
    bare = Output("out.root", "g1", surl=GOOD.surl)
    (found, _) = end(Left(PilotReport("finished", {}, (bare, LOG)))).files
    assert of_validation(job(), [found], POLICY).events == (Event.RESUBMIT,)


@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("finding", ["missing", "unverified"])
def test_a_verdict_on_thousands_of_outputs_is_a_sentence(attempts: int, finding: str) -> None:
    files = [SimpleNamespace(lfn=f"out{n}.root", finding=finding, detail="no " * 300) for n in range(2000)]
    assert len(of_validation(job(attempts=attempts), files, POLICY).why) < 600


@pytest.mark.parametrize("state", ["starting", "running", "transferring", "tobekilled"])
@pytest.mark.parametrize("left", [Left(FINISHED), Left(FAILED), Left()])
@pytest.mark.parametrize("ended", [attempt(), attempt("donefailed", "Node fail"), attempt("lost")])
def test_each_decision_is_a_way_that_the_machine_has(state: str, left: Left, ended: Any) -> None:
    row = job(state=state)
    for decided in (of_nordugrid(row, ended, left, POLICY), of_true_pilot(row, ended)):
        at = state
        for event in decided.events:
            step = PANDAJOB.step(at, event)
            assert step is not None, f"{event} in {at}"
            at = step.target


def test_once_told_to_be_transferring_a_job_is_told_so_to_its_end() -> None:
    assert speech.status_of(job(state="tovalidate")) == "transferring"
    for state in ("sent", "starting", "running", "toresubmit"):
        assert speech.status_of(job(state=state, told="transferring")) == "transferring"


def test_cpu_time_that_does_not_fit_moves_the_start_back() -> None:
    told = speech.final(job(state="finished"), "act", "url", FINISHED, "")
    assert told.start_time is not None and told.end_time is not None
    assert (told.end_time - told.start_time) * 4 >= 100
    assert told.measurements["cpu_consumption_time"] == 100


def test_what_the_tower_found_wrong_goes_before_what_the_pilot_said() -> None:
    bad = job(state="failed", error_code=1137, error_diag="out.root is missing")
    told = speech.final(bad, "act", "url", FINISHED, "")
    assert (told.job_status, told.pilot_error_code, told.pilot_error_diag) == ("failed", 1137, "out.root is missing")
    told = speech.final(job(state="failed", error_code=1305, error_diag="..."), "act", "url", FAILED, "")
    assert (told.pilot_error_code, told.pilot_error_diag) == (1305, "payload failed")


def test_a_finished_job_tells_every_output_and_no_error() -> None:
    told = speech.final(job(state="finished"), "act", "url", FINISHED, "").encode()
    assert set(json.loads(str(told["job_output_report"]))) == {"out.root", "log.tgz"}
    assert (told["job_status"], told["attempt_nr"]) == ("finished", 3)
    assert not [name for name in told if "error" in name]


def test_the_end_of_a_true_pilot_without_a_word_is_told_as_failure() -> None:
    told = speech.final(job(state="finished", truepilot=True), "act", "url", None, "")
    assert (told.job_status, told.pilot_error_code) == ("failed", 9000)


def test_a_host_longer_than_any_and_a_job_whose_outputs_make_no_sense_hold_up_nobody() -> None:
    far = Output("out.root", "g1", 10, "0000000a", surl=f"davs://{'a' * 300}/out.root")
    (found, _) = end(Left(PilotReport("finished", {}, (far, LOG)))).files
    assert (found.host, found.finding) == ("", "missing")
    odd = end(Left(FINISHED), job="PandaID=1&outFiles=out%07.root")
    assert (odd.events, odd.error_code) == ((Event.BROKEN,), 9000)
