"""Promises of act.metrics: what processes count outlives them, and never costs them anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from act import faults, metrics
from act.daemons.cecalls import CECalls
from act.db.cecalls import Calls
from act.errors import CEUnreachable, JobGone


@pytest.fixture(autouse=True)
def _afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No counts of tests before, and none for those after."""
    monkeypatch.setattr(metrics, "_file", None)
    yield
    monkeypatch.undo()
    metrics.begin(tmp_path / "over", "nobody")
    metrics._file = None


def value(directory: Path, sample: str, **labels: str) -> float | None:
    """Of one sample, None if it is not there."""
    found = [
        s.value
        for family in metrics.collected(directory)
        for s in family.samples
        if s.name == sample and s.labels == labels
    ]
    assert len(found) < 2
    return found[0] if found else None


def moved(directory: Path, daemon: str) -> float | None:
    return value(directory, "act_moves_total", daemon=daemon, kind="cejob", target="done")


def test_a_process_that_is_started_again_goes_on_counting(tmp_path: Path) -> None:
    for _ in range(3):
        metrics.begin(tmp_path, "status-arc")
        metrics.moved("cejob", "done", 2)
        metrics.save()
        metrics.save()
    assert moved(tmp_path, "status-arc") == 6


def test_several_processes_of_one_kind_are_one(tmp_path: Path) -> None:
    for name in ("status-arc.1", "status-arc.2", "status-condor"):
        metrics.begin(tmp_path, name)
        metrics.moved("cejob", "done", 1)
        metrics.save()
    assert (moved(tmp_path, "status-arc"), moved(tmp_path, "status-condor")) == (2, 1)


def test_what_the_parent_counted_is_not_the_child_s(tmp_path: Path) -> None:
    metrics.moved("cejob", "done", 5)
    pid = os.fork()
    if pid == 0:
        metrics.begin(tmp_path, "child")
        metrics.moved("cejob", "done", 1)
        metrics.save()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert moved(tmp_path, "child") == 1


def test_a_file_that_makes_no_sense_is_left_out_and_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "fetcher-arc.json").write_text('[["act_moves", 7]')
    assert moved(tmp_path, "fetcher-arc") is None
    metrics.begin(tmp_path, "fetcher-arc")
    metrics.moved("cejob", "done", 1)
    metrics.save()
    assert moved(tmp_path, "fetcher-arc") == 1
    assert "cannot be read" in caplog.text


def test_a_place_that_cannot_be_written_is_only_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "metrics").write_text("no directory")
    metrics.begin(tmp_path / "metrics", "fetcher-arc")
    metrics.save()
    assert "metrics cannot be written" in caplog.text


def test_a_master_that_starts_wipes_what_others_left_and_loses_nothing_of_those_that_live(tmp_path: Path) -> None:
    metrics.begin(tmp_path, "old")
    metrics.save()
    metrics.begin(tmp_path, "web.1")
    metrics.moved("cejob", "done", 1)
    metrics.save()
    metrics.wipe(tmp_path)
    assert list(tmp_path.iterdir()) == []
    metrics.save()
    assert moved(tmp_path, "web") == 1
    metrics.wipe(tmp_path / "nowhere")


def test_histograms_add_up(tmp_path: Path) -> None:
    for _ in range(2):
        metrics.begin(tmp_path, "submitter-arc")
        metrics.ce_call("arc", "https://ce", "create", 0.2, None)
        metrics.ce_call("arc", "https://ce", "create", 50, None)
        metrics.save()
    labels = {"daemon": "submitter-arc", "flavour": "arc", "call": "create"}
    assert value(tmp_path, "act_ce_call_seconds_count", **labels) == 4
    assert value(tmp_path, "act_ce_call_seconds_bucket", **labels, le="0.3") == 2
    assert value(tmp_path, "act_ce_call_seconds_bucket", **labels, le="+Inf") == 4
    assert value(tmp_path, "act_ce_call_seconds_sum", **labels) == pytest.approx(100.4)


class Far:
    """Something behind a port."""

    def good(self) -> str:
        return "here"

    def bad(self) -> None:
        raise CEUnreachable("gone")

    def gone(self) -> None:
        raise JobGone("no such job")


def test_every_call_of_a_port_is_timed_and_its_failures_are_counted_by_class(tmp_path: Path) -> None:
    metrics.begin(tmp_path, "heartbeat")
    far = faults.port("far", Far())
    assert far.good() == "here"
    with pytest.raises(CEUnreachable):
        far.bad()
    metrics.save()
    where = {"daemon": "heartbeat", "port": "far"}
    assert value(tmp_path, "act_port_call_seconds_count", **where, call="good") == 1
    assert value(tmp_path, "act_port_call_seconds_count", **where, call="bad") == 1
    assert value(tmp_path, "act_port_call_errors_total", **where, call="bad", error="CEUnreachable") == 1
    assert value(tmp_path, "act_port_call_errors_total", **where, call="good", error="ok") is None


def test_calls_to_a_ce_are_kept_until_they_are_written_down() -> None:
    calls = CECalls()
    ce = faults.port("ce", Far(), told=calls.of(7, "arc", "https://ce"))
    ce.good()
    with pytest.raises(CEUnreachable):
        ce.bad()
    taken = calls.take()
    assert [(k, n.calls, n.errors) for k, n in taken.items()] == [((7, "good"), 1, 0), ((7, "bad"), 1, 1)]
    ce.good()
    calls.give_back(taken)
    assert calls.take()[7, "good"].calls == 2
    assert calls.take() == {}


def test_what_a_ce_says_of_one_job_is_no_error_of_the_ce() -> None:
    calls = CECalls()
    with pytest.raises(JobGone):
        faults.port("ce", Far(), told=calls.of(7, "arc", "https://ce")).gone()
    assert calls.take()[7, "gone"].errors == 0


def test_calls_add_up() -> None:
    calls = Calls(1, 0, 0.5)
    calls.add(Calls(2, 1, 0.25))
    assert calls == Calls(3, 1, 0.75)
