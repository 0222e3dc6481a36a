"""The pilot's report: what makes sense of it arrives as PanDA takes it, whatever else stands in the file."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act.errors import BadJobSpec
from act_atlas.panda import JobUpdate
from act_atlas.panda.updates import FIELDS
from act_atlas.pandajob import PandaJob
from act_atlas.report import (
    MAX_REPORT_BYTES,
    BadReport,
    Output,
    PilotReport,
    missing_outputs,
    output_report,
    read_report,
)
from act_atlas.report.reading import MAX_DROPPED, MAX_META_BYTES, MAX_OUTPUTS, MAX_PARTS, MAX_TEXT

ID = 6_000_000_001
HITS, LOG = "HITS.1._000001.pool.root.1", "log.1._000001.job.log.tgz"
ENTRY = {"guid": "A-B", "fsize": 12, "adler32": "0000abcd", "surl": "davs://se.example.org:443/atlas/mc/x"}


def read(told: Any, **options: Any) -> PilotReport:
    content = told if isinstance(told, bytes) else json.dumps(told).encode()
    return read_report(io.BytesIO(content), ID, **options)


def report(**fields: Any) -> PilotReport:
    return read({"jobId": ID, "state": "finished", **fields})


def outputs(xml: Any, **options: Any) -> dict[str, Output]:
    return {o.lfn: o for o in read({"jobId": str(ID), "xml": xml}, **options).outputs}


def test_legacy_names_become_those_of_today_with_their_types() -> None:
    told = report(
        nEvents="1000", meanCoreCount=7.6, coreCount="8", cpuConsumptionTime=12.5, maxRSS="2048", node="wn1",
        transExitCode="0", pilotErrorDiag="x" * 999, startTime="2026-11-22 07:00:00", endTime=1795330801,
        rateRCHAR=1.5, jobMetrics="leak=1", timestamp="now", attemptNr=3, siteName="Q", schedulerID="aCT",
    )  # fmt: skip
    assert told.status == "finished"
    assert told.values == {
        "n_events": 1000, "mean_core_count": 8, "core_count": 8, "cpu_consumption_time": 12, "max_rss": 2048.0,
        "node": "wn1", "trans_exit_code": 0, "pilot_error_diag": "x" * 500, "start_time": 1795330800.0,
        "end_time": 1795330801.0, "rate_rchar": 1.5, "job_metrics": "leak=1", "scheduler_id": "aCT",
    }  # fmt: skip
    assert told.dropped == ()


def test_what_is_read_is_what_panda_takes() -> None:
    told = report(nEvents="1000", startTime="2026-11-22 07:00:00", cpuConsumptionUnit="s+Xeon")
    assert JobUpdate(ID, "finished", 1, measurements=told.values).encode() == {
        "job_id": ID, "job_status": "finished", "attempt_nr": 1, "n_events": 1000,
        "start_time": "2026-11-22 07:00:00", "cpu_consumption_unit": "s+Xeon",
    }  # fmt: skip


def test_what_is_of_no_use_is_left_out_by_name() -> None:
    told = report(nEvents="many", maxRSS=[1], coreCount=2**40, node=None, unheardOf=1, startTime="yesterday")
    assert told.values == {}
    assert set(told.dropped) == {"nEvents", "maxRSS", "coreCount", "unheardOf", "startTime"}


@pytest.mark.parametrize("code", [-1305, "-1305", 1305, 1305.0])
def test_a_pilot_error_code_has_no_sign(code: object) -> None:
    assert report(pilotErrorCode=code).values == {"pilot_error_code": 1305}


@pytest.mark.parametrize("state", ["running", "holding", None, 7, ["finished"], {}])
def test_only_the_two_ends_are_an_end(state: object) -> None:
    assert report(state=state).status == ""


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "empty"),
    (b" \n", "empty"),
    (b'{"jobId": 6000000001, "state": "fini', "truncated"),
    (b'{"jobId": 6000000001, "x": {"y": 1', "truncated"),
    (b"\xff\xfe<html>", "not JSON"),
    (b"[1]", "no JSON object"),
    (b"null", "no JSON object"),
    (b'{"state": "finished"}', "which job"),
    (b'{"jobId": [6000000001]}', "which job"),
    (b'{"jobId": true}', "which job"),
    (b'{"jobId": 6000000002}', "another job, 6000000002"),
    (b"[" * 1_000_000, "more than"),
    (b'{"jobId":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deep"),
    (b'"' + b'\\"' * 2_000_000, "not JSON"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(BadReport, match=reason):
        read(content)


@pytest.mark.parametrize("xml", [
    {HITS: ENTRY}, json.dumps({HITS: ENTRY}), json.dumps(json.dumps({HITS: ENTRY})), {str(ID): {HITS: ENTRY}},
    {str(ID): json.dumps({HITS: ENTRY})},
], ids=["object", "text", "text-in-text", "wrapped", "wrapped-text"])  # fmt: skip
def test_outputs_are_found_in_every_form_of_the_list(xml: object) -> None:
    assert outputs(xml) == {HITS: Output(HITS, "A-B", 12, "0000abcd", "", "davs://se.example.org:443/atlas/mc/x")}


@pytest.mark.parametrize(("facts", "checksums"), [
    ({"adler32": "ABCD"}, ("0000abcd", "")),
    ({"adler32": "0x1"}, ("00000001", "")),
    ({"md5sum": "A" * 32}, ("", "a" * 32)),
    ({"checksum": "ad:0badcafe"}, ("0badcafe", "")),
    ({"checksum": f"md5:{'b' * 32}"}, ("", "b" * 32)),
    ({"adler32": "no checksum", "md5sum": 5}, ("", "")),
])  # fmt: skip
def test_checksums_come_out_in_one_form(facts: dict[str, Any], checksums: tuple[str, str]) -> None:
    found = outputs({HITS: {"guid": "g", **facts}})[HITS]
    assert (found.adler32, found.md5) == checksums


@pytest.mark.parametrize(("size", "read_as"), [(12, 12), ("12", 12), (-1, None), (True, None), ("big", None),
                                               (1e400, None), (2**70, None), (None, None), ([12], None)])  # fmt: skip
def test_a_size_is_a_number_or_unknown(size: object, read_as: int | None) -> None:
    assert outputs({HITS: {"guid": "g", "fsize": size}})[HITS].size == read_as


@pytest.mark.parametrize(
    "lfn", ["../../etc/passwd", "a/b", "", ".", "..", "a\nb", "a\0b", "\ud800", "x" * 251, "\u00fc"]
)
def test_a_hostile_file_name_is_no_output(lfn: str) -> None:
    assert set(outputs({lfn: ENTRY, HITS: ENTRY})) == {HITS}


@pytest.mark.parametrize("surl", ["not a URL", "davs://se/a b", "davs://se/a\nb", "davs://se/\u202e", 7, "x" * 9999])
def test_a_hostile_destination_is_none(surl: object) -> None:
    assert outputs({HITS: {**ENTRY, "surl": surl}})[HITS].surl == ""


def test_the_log_is_known_by_the_jobs_name_for_it() -> None:
    found = outputs({HITS: ENTRY, LOG: ENTRY}, log_file=LOG)
    assert (found[LOG].is_log, found[HITS].is_log) == (True, False)
    assert not outputs({HITS: ENTRY})[HITS].is_log


@pytest.mark.parametrize("xml", ["<POOLFILECATALOG/>", "[", 7, [ENTRY], {"a": {"b": {"c": {"d": {HITS: ENTRY}}}}}])
def test_a_list_of_outputs_that_is_none_costs_only_itself(xml: object) -> None:
    told = report(xml=xml, nEvents=5)
    assert (told.outputs, told.values) == ((), {"n_events": 5})
    assert told.dropped


@pytest.mark.parametrize(("given_", "kept"), [
    ({"files": {"output": []}}, '{"files": {"output": []}}'), ('{"a": 1}', '{"a": 1}'), ("a\0b\ud800", "ab?"),
    (None, ""), ({}, ""), ("x" * (MAX_META_BYTES + 1), ""),
], ids=["object", "text", "odd", "none", "empty", "large"])  # fmt: skip
def test_the_transforms_report_travels_as_text(given_: object, kept: str) -> None:
    assert report(metaData=given_).meta_data == kept


def test_a_report_of_the_largest_size_is_one_statement() -> None:
    """MariaDB takes 16 MB in one."""
    entry = {
        "guid": "g" * 250,
        "fsize": 1,
        "adler32": "1",
        "endpoint": '"' * 250,
        "surl": "davs://se/".ljust(1000, "x"),
    }
    files = {f"{n:250}".replace(" ", '"'): entry for n in range(MAX_OUTPUTS)}
    texts = {"pilotLog": '"' * MAX_TEXT, "stdout": "\u20ac" * MAX_TEXT}
    told = report(xml=files, metaData='"' * MAX_META_BYTES, **texts)
    assert len(told.outputs) == MAX_OUTPUTS
    assert told.dropped == ()
    assert len(told.to_json().encode()) < 15 << 20


def test_a_report_survives_the_database() -> None:
    told = report(nEvents=5, xml={HITS: ENTRY}, metaData={"a": "\u20ac"}, odd="x", startTime=1.5)
    assert PilotReport.from_json(told.to_json()) == told


def test_panda_gets_only_outputs_that_it_takes() -> None:
    good = Output(HITS, "g", 1, "00000001", "", "davs://se/x", endpoint="SE_DATADISK")
    hashed = Output(LOG, "h", 0, md5="a" * 32, is_log=True)
    bad = (Output("a", "", 1, "00000001"), Output("b", "g", None, "00000001"), Output("c", "g", 1))
    assert json.loads(output_report((good, *bad, hashed))) == {
        HITS: {"guid": "g", "fsize": 1, "adler32": "00000001", "surl": "davs://se/x", "endpoint": "SE_DATADISK"},
        LOG: {"guid": "h", "fsize": 0, "md5sum": "a" * 32},
    }


@pytest.mark.parametrize(("expected", "optional", "reported", "missing"), [
    (f"{HITS},{LOG}", "", {HITS, LOG}, ()),
    (f"{HITS},{LOG}", "", {HITS}, (LOG,)),
    (f"{HITS},{LOG}", HITS, {LOG}, ()),
    (f"{HITS},{LOG}", [HITS], {LOG}, ()),
    (HITS, "", {f"{HITS}._001"}, ()),
    (r"regex|out\d+", "", {"out12"}, ()),
    ("regex|(", "", {"out12"}, ("regex|(",)),
    ("", "", set(), ()),
    ("NULL", "NULL", {"more"}, ()),
])  # fmt: skip
def test_outputs_that_must_be_there_are_missed(
    expected: str, optional: Any, reported: set[str], missing: tuple[str, ...]
) -> None:
    job = PandaJob({"PandaID": ID, "outFiles": expected, "allowNoOutput": optional})
    assert missing_outputs(job, [Output(lfn) for lfn in reported]) == missing


def test_a_job_whose_outputs_make_no_sense_is_told_so() -> None:
    with pytest.raises(BadJobSpec, match="outFiles"):
        missing_outputs(PandaJob({"PandaID": ID, "outFiles": "a\0b"}), ())


class Endless(io.RawIOBase):
    """A file of 100 MB that is nowhere."""

    left = 100 << 20

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "asked for everything"
        size = min(size, self.left, 1000)
        self.left -= size
        return b"[" * size


def test_a_huge_file_is_not_read() -> None:
    stream = Endless()
    with pytest.raises(BadReport, match="larger than"):
        read_report(stream, ID)  # type: ignore[arg-type]
    assert (100 << 20) - stream.left <= MAX_REPORT_BYTES + 1000


@pytest.mark.parametrize("unit", ["[],", "{},", "300,", '"\\u20ac",', "[[[[],[]]]],", '{"a":[{}]},'])
def test_a_file_of_the_largest_size_needs_bounded_memory(unit: str) -> None:
    start, end = f'{{"jobId": {ID}, "x": [', "0]}"
    content = (start + unit * ((MAX_REPORT_BYTES - 100) // len(unit)) + end).encode()
    tracemalloc.start()
    with pytest.raises(BadReport, match=f"more than {MAX_PARTS} values"):
        read(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * MAX_REPORT_BYTES


def test_numbers_of_things_and_lengths_are_bounded() -> None:
    told = read({"jobId": ID, "pilotLog": "x" * (MAX_TEXT + 9), **{f"k{n}": 1 for n in range(999)},
                 "xml": {f"f{n}": {"guid": "g"} for n in range(MAX_OUTPUTS + 9)}})  # fmt: skip
    assert len(told.outputs) == MAX_OUTPUTS
    assert len(str(told.values["pilot_log"])) == MAX_TEXT
    assert len(told.dropped) == MAX_DROPPED


LEGACY = st.sampled_from([f.legacy for f in FIELDS.values()] + [*FIELDS, "timestamp", "junk"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(
    [10**400, "9" * 400, "1e400", "-0", "NaN", "\ud800", "a\0b", "x" * 999, "2026-11-22 07:00:00", "0001-01-01"]
)  # fmt: skip
NAMES = st.sampled_from([*sorted(("guid", "fsize", "adler32", "md5sum", "checksum", "surl", "endpoint")), HITS, "/"])
JUNK = st.recursive(SCALARS, lambda s: st.lists(s, max_size=4) | st.dictionaries(NAMES | st.text(), s, max_size=4))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(LEGACY, JUNK, max_size=12), st.booleans())
def test_whatever_is_told_comes_out_as_panda_takes_it(told: dict[str, Any], as_text: bool) -> None:
    told["jobId"] = ID
    if as_text and "xml" in told:
        told["xml"] = json.dumps(told["xml"])
    found = read_report(io.BytesIO(json.dumps(told).encode()), ID, log_file=LOG)
    sent = JobUpdate(ID, "failed", 1, measurements=found.values).encode()
    assert set(found.values) <= set(sent)
    json.dumps(sent, allow_nan=False)
    found.to_json().encode()
    output_report(found.outputs).encode()
    assert all(o.lfn.isprintable() and "/" not in o.lfn for o in found.outputs)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\0aeE+-.tfn \n').map(str.encode))
def test_no_content_raises_anything_else(content: bytes) -> None:
    for whole in (content, b'{"jobId":%d,"xml":%s}' % (ID, content), b'{"jobId":%d,"jobId":%s' % (ID, content)):
        try:
            read(whole)
        except BadReport as e:
            assert str(e)
