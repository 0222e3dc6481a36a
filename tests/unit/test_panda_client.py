"""What goes to PanDA and what is made of its answers, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from act.errors import BadJobSpec, ConfigError, CredentialError, SourceUnreachable
from act_atlas.panda import JobUpdate, PandaServer, connect, may_hold_jobs
from act_atlas.panda.client import command_set, sum_leaves
from act_atlas.panda.http import Http
from act_atlas.panda.jobs import AcquiredJob
from act_atlas.panda.legacy import LegacyClient
from act_atlas.panda.v1 import V1Client

JOB = {"PandaID": 7, "attemptNr": 2, "transferType": "NULL", "ioIntensity": None, "prodUserID": "/CN=a b"}


class CannedHttp(Http):
    """Answers every call with the same bytes and remembers the bodies."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.bodies: list[bytes] = []

    def call(self, method: str, path: str, *, body: bytes = b"", **others: Any) -> bytes:
        self.bodies.append(body)
        return self.answer


def v1(success: bool = True, message: str = "", data: Any = None) -> V1Client:
    return V1Client(CannedHttp(json.dumps({"success": success, "message": message, "data": data}).encode()))


def jobs_answer(*jobs: Any) -> bytes:
    return json.dumps({"success": True, "message": "", "data": {"StatusCode": 0, "jobs": jobs}}).encode()


def test_job_keeps_nulls_and_numbers_as_text_for_the_pilot() -> None:
    encoded = AcquiredJob.parse(JOB).urlencoded()
    assert encoded == "PandaID=7&attemptNr=2&transferType=NULL&ioIntensity=None&prodUserID=%2FCN%3Da+b"


@pytest.mark.parametrize(
    "bad",
    [
        {"PandaID": None}, {"PandaID": -1}, {"PandaID": "seven"}, {"PandaID": 10**30}, {"PandaID": 1.5},
        {"attemptNr": "NULL"}, {"coreCount": 10**12}, {"maxCpuCount": 10**12}, {"coreCount": [1]},
        {"jobName": "\udc80"},
    ],
)  # fmt: skip
def test_a_job_with_an_absurd_field_is_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(BadJobSpec):
        AcquiredJob.parse({**JOB, **bad})


def test_a_malformed_job_does_not_cost_the_others() -> None:
    answer = jobs_answer(JOB, {"PandaID": 8}, "no job", {**JOB, "PandaID": 9})
    acquired = v1().parse_jobs(answer)
    assert [j.pandaid for j in acquired.jobs] == [7, 9]
    assert [m.pandaid for m in acquired.malformed] == [8, None]
    assert "attemptNr" in acquired.malformed[0].reason


def test_a_number_of_thousands_of_digits_spoils_only_its_own_job() -> None:
    answer = jobs_answer(JOB, {**JOB, "PandaID": 8, "coreCount": "MANY"}).replace(b'"MANY"', b"9" * 6000)
    acquired = v1().parse_jobs(answer)
    assert [j.pandaid for j in acquired.jobs] == [7]
    assert [m.pandaid for m in acquired.malformed] == [8]


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"\xff\xfe", b"[" * 10**5, b"{'success': True, 'message': '', 'data': None}", b"[]",
     b'{"success": 1}', b'{"success": true, "message": "", "data": null}',
     b'{"success": false, "message": "Timed out", "data": null}',
     b'{"success": true, "message": "", "data": {"StatusCode": 30}}'],
)  # fmt: skip
def test_an_answer_that_is_none_is_not_taken_for_no_jobs(answer: bytes) -> None:
    with pytest.raises(SourceUnreachable):
        v1().parse_jobs(answer)


def test_no_jobs_is_an_empty_answer() -> None:
    answer = b'{"success": false, "message": "No jobs in PanDA", "data": null}'
    assert v1().parse_jobs(answer).jobs == ()
    assert not may_hold_jobs(answer)
    assert LegacyClient(CannedHttp(b"")).parse_jobs(b'{"StatusCode": 20, "errorDialog": "no jobs in PanDA"}').jobs == ()


@pytest.mark.parametrize("message", ["production or pilot role required", "SSL secure connection is required"])
def test_a_missing_role_is_a_credential_error(message: str) -> None:
    client = v1(False, message)
    with pytest.raises(CredentialError):
        client.update_bulk([JobUpdate(1, "running", 1)])
    with pytest.raises(CredentialError):
        LegacyClient(CannedHttp(b"")).parse_jobs(b'{"StatusCode": "60"}')


def element(success: bool, message: str, data: Any) -> dict[str, Any]:
    return {"success": success, "message": message, "data": data}


@pytest.mark.parametrize(
    ("answer", "accepted", "retry"),
    [
        (element(True, "", {"StatusCode": 0, "command": "NULL"}), True, False),
        (element(True, "Database error", {"StatusCode": 30}), False, True),
        (element(False, "Timed out", None), False, True),
        (element(True, "", None), False, True),
        (element(False, "Invalid job status: closed", {"StatusCode": 50}), False, False),
        (element(False, "Type error: 'job_id' must be of type int, got str.", None), False, False),
        (element(False, "Argument error: got an unexpected keyword argument 'x'", None), False, False),
    ],
)
def test_success_alone_is_not_believed(answer: dict[str, Any], accepted: bool, retry: bool) -> None:
    (result,) = v1(data=[answer]).update_bulk([JobUpdate(1, "running", 1)])
    assert (result.accepted, result.retry) == (accepted, retry)
    assert bool(result.error) is not accepted


@pytest.mark.parametrize("data", [[], None, [element(True, "", {"StatusCode": 0})] * 2, ["x"]])
def test_answers_that_cannot_be_matched_to_updates_are_not_used(data: Any) -> None:
    with pytest.raises(SourceUnreachable):
        v1(data=data).update_bulk([JobUpdate(1, "running", 1)])


def test_commands_come_joined_and_are_told_apart() -> None:
    assert command_set("debug,tobekilled") == {"debug", "tobekilled"}
    assert command_set("NULL") == command_set(None) == command_set("") == frozenset()


@pytest.mark.parametrize("wrap", [False, True])
def test_legacy_bulk_answers_are_read_in_both_forms(wrap: bool) -> None:
    item: Any = {"type": "json", "content": '{"StatusCode": 0, "command": "debug,tobekilled"}'}
    if not wrap:
        item = "StatusCode=0&command=debug%2Ctobekilled"
    client = LegacyClient(CannedHttp(json.dumps([True, [item, "StatusCode=30"]]).encode()))
    first, second = client.update_bulk([JobUpdate(1, "running", 1), JobUpdate(2, "running", 1)])
    assert first.accepted and first.commands == {"debug", "tobekilled"}
    assert not second.accepted and second.retry


def test_a_pickle_is_never_loaded() -> None:
    with pytest.raises(SourceUnreachable):
        LegacyClient(CannedHttp(b"(dp0\nVQ\np1\n(dp2\ns.")).queue_stats()


def test_update_has_the_types_that_the_server_insists_on() -> None:
    update = JobUpdate(
        1, "running", 2, start_time=0.0, core_count=8, pilot_error_diag="ü" * 400, node="n\0ode",
        measurements={"mean_core_count": 1.6, "max_rss": 12.5, "n_events": "1000", "avg_pss": float("nan"), "evil": 1,
                      "n_input_files": 10**12},
    )  # fmt: skip
    encoded = update.encode()
    assert encoded["start_time"] == "1970-01-01 00:00:00"
    assert encoded["mean_core_count"] == 2
    assert encoded["n_events"] == 1000
    assert encoded["max_rss"] == 12.5
    assert encoded["node"] == "node"
    assert encoded["pilot_error_diag"] == "ü" * 250  # 500 bytes
    assert not {"avg_pss", "evil", "n_input_files", "end_time"} & encoded.keys()


def test_legacy_update_is_text_under_the_old_names() -> None:
    encoded = JobUpdate(1, "finished", 2, job_output_report="{}", scheduler_id="s").encode_legacy()
    assert encoded == {"jobId": "1", "state": "finished", "attemptNr": "2", "schedulerID": "s", "xml": "{}"}


def test_updates_go_in_bulks_of_a_hundred() -> None:
    http = CannedHttp(b"")
    http.answer = json.dumps(
        element(True, "", [element(True, "", {"StatusCode": 0, "command": "NULL"})] * 100)
    ).encode()
    updates = [JobUpdate(i, "running", 1) for i in range(1, 201)]
    assert len(V1Client(http).update_bulk(updates)) == 200
    assert [len(json.loads(b)["job_list"]) for b in http.bodies] == [100, 100]


def test_counts_are_summed_whatever_the_levels_between() -> None:
    tree = {"managed": {"SCORE": {"running": 2}, "MCORE": {"running": 1, "sent": 4}}, "user": {"SCORE": {"sent": 1}}}
    assert sum_leaves(tree) == {"running": 3, "sent": 5}


def test_unusable_settings_are_told_before_any_call(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="CA directory"):
        connect(PandaServer("https://localhost:1", tmp_path / "none"))
    with pytest.raises(ConfigError, match="protocol"):
        connect(PandaServer("https://localhost:1", tmp_path, protocol="v3"))
    with pytest.raises(CredentialError):
        connect(PandaServer("https://localhost:1", tmp_path, proxy_pem=b"no proxy"))
