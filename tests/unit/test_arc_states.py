"""What is concluded from what A-REX says of a job, and what is not."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from act.states import Event
from act_arc.states import DETAILED, EVENTS, ce_status, rest_state

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
TIMEOUT = "User file: /.act-arm - Timeout waiting"


def activity(state: str, **more: Any) -> dict[str, Any]:
    """The document of a job as A-REX 7 gives it."""
    return {
        "Name": "job.token",
        "State": [f"nordugrid:{state}", f"arcrest:{state}"],
        "SubmissionTime": "2026-11-22T11:00:00Z",
        **more,
    }


def failed(error: Any, restart: str | None = None) -> dict[str, Any]:
    more = {"RestartState": [f"nordugrid:{restart}", f"arcrest:{restart}"]} if restart else {}
    return activity("FAILED", Error=error, **more)


@pytest.mark.parametrize(
    ("states", "event"),
    [
        ("ACCEPTING ACCEPTED PREPARING PREPARED SUBMITTING QUEUING", Event.WAITING),
        ("RUNNING EXITINGLRMS EXECUTED", Event.RUNNING),
        ("HELD", Event.HELD),
        ("FINISHING", Event.FINISHING),
        ("FINISHED", Event.FINISHED),
        ("FAILED", Event.FAILED),
        ("KILLED WIPED", Event.KILLED),
        ("KILLING OTHER", None),
    ],
)
def test_each_state_means_one_thing(states: str, event: Event | None) -> None:
    for state in states.split():
        assert ce_status(state, activity(state), NOW).event is event


def test_details_are_asked_for_where_a_job_ended_or_is_held() -> None:
    final = (Event.FINISHED, Event.FAILED, Event.KILLED, Event.HELD)
    assert {state for state, event in EVENTS.items() if event in final} == DETAILED


def test_nothing_is_concluded_from_an_unknown_state_but_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert ce_status("DREAMING", {}, NOW).event is None
    assert "DREAMING" in caplog.text


@pytest.mark.parametrize("phase", ["PREPARING", "FINISHING"])
def test_a_failure_while_staging_is_worth_a_rerun(phase: str) -> None:
    assert ce_status("FAILED", failed("Failed in data staging", phase), NOW).event is Event.STAGEFAILED


def test_other_failures_are_final() -> None:
    assert ce_status("FAILED", failed("LRMS error: (3)", "INLRMS"), NOW).event is Event.FAILED
    assert ce_status("FAILED", failed("LRMS error: (3)"), NOW).event is Event.FAILED
    no_list = "Error reading user generated output file list"
    assert ce_status("FAILED", failed(["x", no_list], "FINISHING"), NOW).event is Event.FAILED


def test_a_job_whose_upload_never_came_certainly_never_ran() -> None:
    status = ce_status("FAILED", failed([TIMEOUT], "PREPARING"), NOW)
    assert (status.event, status.armed) == (Event.FAILED, False)
    assert ce_status("FAILED", failed("User file: /a - too big", "PREPARING"), NOW).armed is True


def test_a_job_that_may_still_wait_may_or_may_not_be_armed() -> None:
    for state in ("ACCEPTING", "ACCEPTED", "PREPARING"):
        assert ce_status(state, {}, NOW).armed is None
    for state in ("PREPARED", "QUEUING", "RUNNING", "FINISHED"):
        assert ce_status(state, {}, NOW).armed is True


def test_a_failure_of_which_nothing_was_collected_yet_concludes_nothing() -> None:
    bare = {"State": ["arcrest:FAILED"], "Type": "single"}
    status = ce_status("FAILED", bare, NOW)
    assert (status.event, status.armed) == (None, None)


def test_wall_time_is_per_slot_and_not_longer_than_the_job_is_old() -> None:
    used = {"RequestedSlots": "8", "UsedTotalCPUTime": "7200"}
    assert ce_status("FINISHED", activity("FINISHED", UsedTotalWallTime="8000", **used), NOW).wall_s == 1000
    assert ce_status("FINISHED", activity("FINISHED", UsedTotalWallTime="80000", **used), NOW).wall_s == 3600
    assert ce_status("FINISHED", activity("FINISHED", **used), NOW).cpu_s == 7200


def test_numbers_that_cannot_be_are_discarded() -> None:
    odd = activity(
        "FINISHED", UsedTotalWallTime="n/a", UsedTotalCPUTime="10000001", UsedMainMemory="-1", RequestedSlots="0",
        SubmissionTime="\n  \n",
    )  # fmt: skip
    status = ce_status("FINISHED", odd, NOW)
    assert (status.wall_s, status.cpu_s, status.memory_mb) == (None, None, None)


def test_memory_is_told_in_mb() -> None:
    assert ce_status("FINISHED", activity("FINISHED", UsedMainMemory="2097152"), NOW).memory_mb == 2048


def test_a_finished_job_without_exit_code_ended_well_and_others_did_not() -> None:
    assert ce_status("FINISHED", activity("FINISHED"), NOW).exit_code == 0
    assert ce_status("FAILED", failed("LRMS error"), NOW).exit_code is None
    assert ce_status("FAILED", activity("FAILED", ExitCode="3"), NOW).exit_code == 3


def test_single_values_and_lists_are_read_alike() -> None:
    one = ce_status("FAILED", activity("FAILED", Error="a", ExecutionNode="wn1"), NOW)
    two = ce_status("FAILED", activity("FAILED", Error=["a", "b"], ExecutionNode=["wn1", "wn2ü"]), NOW)
    assert (one.error, one.node) == ("a", "wn1")
    assert (two.error, two.node) == ("a; b", "wn1,wn2")
    assert rest_state({"State": "arcrest:RUNNING"}) == rest_state({"State": ["bes:Running", "arcrest:RUNNING"]})
    assert rest_state({}) == ""


def test_the_name_is_there_for_the_token() -> None:
    assert ce_status("RUNNING", activity("RUNNING"), NOW).name == "job.token"
