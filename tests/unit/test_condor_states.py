"""Ads of HTCondor, as a schedd 23.9 really gave them, and what they mean."""

from __future__ import annotations

from typing import Any

import pytest

from act.states import Event
from act_condor.holds import HELD, REMOVED_BY_POLICY, Policy, commands, is_to_look_again
from act_condor.states import ce_status, has_ended, waits_to_be_armed

VANILLA: dict[str, Any] = {
    "ClusterId": 4,
    "ProcId": 1,
    "QDate": 1795345193,
    "ActToken": "act.a.1.1.b",
    "JobUniverse": 5,
}
GRID = VANILLA | {"JobUniverse": 9, "LastHoldReasonCode": 15, "ReleaseReason": "aCT: armed (by user gridatlas)"}
AT_CE = {"GridJobId": "condor condorB@grid.test localhost:21619 26.0", "Managed": "External"}


@pytest.mark.parametrize(
    ("ad", "event"),
    [
        (VANILLA | {"JobStatus": 1}, Event.WAITING),
        (VANILLA | {"JobStatus": 2}, Event.RUNNING),
        (VANILLA | {"JobStatus": 6}, Event.RUNNING),
        (VANILLA | {"JobStatus": 7}, Event.HELD),
        (VANILLA | {"JobStatus": 4, "ExitBySignal": False, "ExitCode": 0}, Event.FINISHED),
        (VANILLA | {"JobStatus": 4, "ExitBySignal": False, "ExitCode": 3}, Event.FAILED),
        (VANILLA | {"JobStatus": 4, "ExitBySignal": True, "ExitSignal": 9}, Event.FAILED),
        (VANILLA | {"JobStatus": 5, "HoldReasonCode": 15}, Event.WAITING),
        (VANILLA | {"JobStatus": 5, "HoldReasonCode": 16}, Event.WAITING),
        (VANILLA | {"JobStatus": 5, "HoldReasonCode": 1}, Event.HELD),
        (VANILLA | {"JobStatus": 99}, None),
        (VANILLA, None),
    ],
)
def test_each_status_means_something(ad: dict[str, Any], event: Event | None) -> None:
    assert ce_status(ad, HELD).event is event


def test_a_job_that_was_killed_by_a_signal_has_no_exit_code() -> None:
    status = ce_status(VANILLA | {"JobStatus": 4, "ExitBySignal": True, "ExitSignal": 9, "ExitCode": 0}, HELD)
    assert status.exit_code is None
    assert "signal 9" in status.error


@pytest.mark.parametrize("code", [15, 16])
def test_a_job_on_the_hold_of_arming_may_or_may_not_have_been_armed(code: int) -> None:
    ad = VANILLA | {"JobStatus": 5, "HoldReasonCode": code}
    assert ce_status(ad, HELD).armed is None
    assert waits_to_be_armed(ad)


def test_a_job_whose_inputs_have_come_is_armed_although_it_is_not_released_yet() -> None:
    ad = VANILLA | {"JobStatus": 5, "HoldReasonCode": 16, "StageInFinish": 1795345199}
    assert ce_status(ad, HELD).armed is True
    assert not waits_to_be_armed(ad)


@pytest.mark.parametrize("code", [15, 16])
def test_a_job_that_was_removed_from_the_hold_of_arming_certainly_never_ran(code: int) -> None:
    ad = VANILLA | {"JobStatus": 3, "LastHoldReasonCode": code, "RemoveReason": "aCT: killed (by user gridatlas)"}
    status = ce_status(ad, HELD)
    assert (status.event, status.armed) == (Event.KILLED, False)
    assert ce_status(ad | {"ReleaseReason": "aCT: armed"}, HELD).armed is True


@pytest.mark.parametrize("managed", ["External", "Schedd"])
def test_a_removed_grid_job_is_not_over_before_htcondor_is_through_with_the_ce(managed: str) -> None:
    ad = GRID | AT_CE | {"JobStatus": 3, "Managed": managed, "RemoveReason": "aCT: killed (by user gridatlas)"}
    assert ce_status(ad, HELD).event is None
    assert not has_ended(ad)
    assert ce_status(ad | {"Managed": "ScheddDone"}, HELD).event is Event.KILLED
    assert has_ended(ad | {"Managed": "ScheddDone"})


def test_a_removed_job_of_the_pool_is_not_over_before_it_left_its_node() -> None:
    ad = VANILLA | {"JobStatus": 3, "RemoteHost": "slot1_3@vm"}
    assert ce_status(ad, HELD).event is None
    assert ce_status(VANILLA | {"JobStatus": 3, "LastRemoteHost": "slot1_3@vm"}, HELD).event is Event.KILLED


def test_a_job_that_was_lost_in_a_long_outage_of_its_schedd_has_ended_although_the_ad_still_names_its_node() -> None:
    ad = VANILLA | {"JobStatus": 3, "RemoteHost": "slot1_5@vm", "LastJobStatus": 1, "RemoveReason": REMOVED_BY_POLICY}
    status = ce_status(ad, HELD)
    assert (status.event, status.armed) == (Event.FAILED, True)
    assert "its node was lost" in status.error


def test_a_finished_grid_job_is_needed_by_the_gridmanager_for_a_while() -> None:
    ad = GRID | AT_CE | {"JobStatus": 4, "ExitBySignal": False, "ExitCode": 0}
    assert ce_status(ad, HELD).event is Event.FINISHED
    assert not has_ended(ad)


def test_a_job_that_was_removed_after_its_end_stays_as_it_ended() -> None:
    ad = VANILLA | {"JobStatus": 3, "LastJobStatus": 4, "ExitBySignal": False, "ExitCode": 0}
    assert ce_status(ad, HELD).event is Event.FINISHED


def test_a_ce_that_does_not_answer_its_submit_point_holds_what_waits_and_says_so_of_what_runs() -> None:
    away = {"GridResourceUnavailableTime": 1795345587}
    waiting = ce_status(GRID | {"JobStatus": 1, "Managed": "External"} | away, HELD)
    assert waiting.event is Event.HELD
    assert waiting.error == "the CE has not answered its submit point since 2026-11-22 11:06 UTC"
    running = ce_status(GRID | AT_CE | {"JobStatus": 2} | away, HELD)
    assert running.event is Event.RUNNING
    assert running.error == waiting.error
    assert running.ce_state != ce_status(GRID | AT_CE | {"JobStatus": 2}, HELD).ce_state


def test_a_hold_is_told_in_words() -> None:
    ad = VANILLA | {"JobStatus": 5, "HoldReasonCode": 34, "HoldReason": "memory exceeded request_memory"}
    assert ce_status(ad, HELD).error == (
        "HTCondor held it (code 34): it used more memory or disk than it asked for: memory exceeded request_memory"
    )


REMOVED = {"JobStatus": 3, "RemoveReason": REMOVED_BY_POLICY, "LastHoldReason": "no such file"}


def test_what_the_policy_ended_has_failed_and_tells_why() -> None:
    status = ce_status(VANILLA | REMOVED | {"LastHoldReasonCode": 13, "NumShadowStarts": 1, "JobStartDate": 1}, HELD)
    assert (status.event, status.armed) == (Event.FAILED, True)
    assert status.error == (
        "HTCondor held it (code 13): its inputs cannot be transferred: no such file; "
        "it was ended by the policy for held jobs"
    )


def test_what_the_policy_ended_before_it_ran_is_submitted_anew_if_the_policy_says_so() -> None:
    ad = VANILLA | REMOVED | {"LastHoldReasonCode": 0, "ReleaseReason": "aCT: armed"}
    assert ce_status(ad, HELD).armed is False
    assert ce_status(ad, {0: Policy.FAIL}).armed is True
    for trace in ({"NumShadowStarts": 1}, {"JobStartDate": 1795345564}, {"GridJobId": AT_CE["GridJobId"]}):
        status = ce_status(ad | trace, HELD)
        assert (status.event, status.armed) == (Event.FAILED, True)


def test_what_was_lost_by_its_node_after_it_had_started_has_failed() -> None:
    ad = VANILLA | {"JobStatus": 3, "RemoveReason": REMOVED_BY_POLICY, "LastJobStatus": 1, "NumShadowStarts": 1}
    status = ce_status(ad | {"LastHoldReasonCode": 15, "ReleaseReason": "aCT: armed"}, HELD)
    assert (status.event, status.armed) == (Event.FAILED, True)
    assert "must not run twice" in status.error


def test_numbers_that_make_no_sense_are_left_out() -> None:
    status = ce_status(VANILLA | {"JobStatus": 4, "ExitCode": "undefined", "RemoteWallClockTime": -1.0}, HELD)
    assert (status.exit_code, status.wall_s, status.cpu_s, status.memory_mb) == (None, None, None, None)
    told = {"JobStatus": 2, "JobStartDate": 100, "ServerTime": 130, "RemoteUserCpu": 7.6, "RemoteSysCpu": 1.0}
    status = ce_status(VANILLA | told | {"ResidentSetSize": 5000, "RemoteHost": "slot1@n"}, HELD)
    assert (status.wall_s, status.cpu_s, status.memory_mb, status.node) == (30, 8, 4, "slot1@n")


def test_holds_of_arming_are_in_no_policy_but_end_some_day() -> None:
    told = commands({**HELD, 15: Policy.RELEASE, 16: Policy.FAIL}, "grid")
    assert "15" not in told["periodic_release"]
    assert "member(HoldReasonCode, {15, 16}) && time() - EnteredCurrentStatus > 3600" in told["periodic_remove"]
    assert told["periodic_remove"].count("16") == 1


def test_a_grid_job_that_the_ce_holds_is_looked_at_again_after_a_while_and_not_for_ever() -> None:
    held = {"JobStatus": 5, "HoldReasonCode": 1, "GridJobStatus": "HELD", "EnteredCurrentStatus": 1795345000}
    ad = GRID | AT_CE | held | {"NumHolds": 2, "ServerTime": 1795345600}
    assert is_to_look_again(ad, HELD, 600)
    assert "looked at from time to time" in ce_status(ad, HELD).error
    assert not is_to_look_again(ad | {"ServerTime": 1795345599}, HELD, 600)
    assert not is_to_look_again(ad | {"NumHolds": 1000}, HELD, 600)


@pytest.mark.parametrize("other", [{"HoldReasonCode": 26}, {"GridJobStatus": "RUNNING"}])
def test_what_the_submit_point_holds_is_left_to_its_people_and_policies(other: dict[str, Any]) -> None:
    held = {"JobStatus": 5, "HoldReasonCode": 1, "GridJobStatus": "HELD", "ServerTime": 1795345600}
    assert not is_to_look_again(GRID | AT_CE | held | other, HELD, 600)
    assert not is_to_look_again(GRID | AT_CE | held, {**HELD, 1: Policy.KEEP}, 600)
