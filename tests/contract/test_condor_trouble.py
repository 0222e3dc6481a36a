"""What a CE behind HTCondor promises when the pool, the way to it, or the process that speaks to it is in trouble."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ce_sites import Site, kinds
from pools import at_the_site
from relay import Relay

from act.errors import CERefused, CEUnreachable, JobGone
from act.interfaces import ComputeElement
from act.model import CEStatus, Created, InputFile, JobSpec, OutputFile
from act.states import Event
from act_condor.workers import Client, Workers
from tests.grid.control import Grid

EVERY = pytest.mark.parametrize("site", kinds(https=False), indirect=True)
GRID = pytest.mark.parametrize("site", kinds(route="grid"), indirect=True)
POOL = pytest.mark.parametrize("site", kinds(route="pool"), indirect=True)
DIRECT = pytest.mark.parametrize("site", kinds(route="direct"), indirect=True)

JOB = JobSpec(
    name="contract suite", executable="/bin/sh", arguments=("-c", "cat in.txt > out.txt"), walltime_s=600,
    memory_mb_total=100, inputs=(InputFile("in.txt", content="hello\n"),), outputs=(OutputFile("out.txt"),),
)  # fmt: skip
LONG = replace(JOB, arguments=("-c", "sleep 300"))


class Ticks:
    """Counts how often another thread of this process gets its turn."""

    def __enter__(self) -> Ticks:
        self.count, self._ended = 0, threading.Event()
        self._thread = threading.Thread(target=self._tick)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _tick(self) -> None:
        while not self._ended.wait(0.05):
            self.count += 1


@contextmanager
def frozen(pool: str) -> Iterator[None]:
    """A pool that takes connections and says nothing."""
    Grid().freeze(pool)
    try:
        yield
    finally:
        Grid().thaw(pool)


def job_at(pool: str, token: str) -> str:
    """The job's number there, "" if there is none."""
    ads = at_the_site(pool, "query", constraint=f'ActToken == "{token}"', projection=["ClusterId", "ProcId"])
    return f"{ads[0]['ClusterId']}.{ads[0]['ProcId']}" if ads else ""


def far_pool(site: Site) -> str:
    return "condorA" if site.address.options.get("route") == "pool" else "condorB"


def started(site: Site, ce: ComputeElement, delegation: str, spec: JobSpec = LONG) -> tuple[str, str]:
    """A running job: id, token."""
    submission = site.submission(spec)
    [made] = ce.create([submission], delegation)
    assert isinstance(made, Created)
    site.made.append(made.ce_job_id)
    site.arm(ce, {made.ce_job_id: spec})
    site.wait(ce, [made.ce_job_id], [Event.RUNNING])
    return made.ce_job_id, submission.token


def status_of(ce: ComputeElement, job: str) -> CEStatus:
    status = ce.inspect([job])[job]
    assert isinstance(status, CEStatus)
    return status


def children() -> set[int]:
    """The processes that speak HTCondor for this one."""
    return {
        int(process)
        for task in Path("/proc/self/task").iterdir()
        for process in (task / "children").read_text().split()
        if "act_condor/worker.py" in Path(f"/proc/{process}/cmdline").read_text()
    }


def until(happens: Callable[[], bool], within_s: float) -> None:
    end = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.2)


@EVERY
def test_a_silent_collector_is_given_up_in_time_and_holds_nobody_up(site: Site) -> None:
    host, _, port = Grid().pool("condorA" if site.door == "submit_collector" else "condorB").collector.partition(":")
    with Relay(host, int(port)) as relay, Ticks() as ticks:
        relay.mode = "freeze"
        with site.ce(**site.at(relay.port), total_s=3.0) as silent, pytest.raises(CEUnreachable) as caught:
            silent.list_ids()
    assert caught.value.sent is False
    assert ticks.count > 10


@DIRECT
def test_a_schedd_that_falls_silent_may_have_done_what_it_was_asked(site: Site, delegation: str) -> None:
    with site.ce(total_s=3.0, transfer_s=3.0) as ce:
        ce.probe()
        with frozen("condorB"), Ticks() as ticks, pytest.raises(CEUnreachable) as caught:
            ce.create([site.submission(JOB)], delegation)
        assert caught.value.sent is True
        assert ticks.count > 10
        until(lambda: answers(ce), site.within_s)


def answers(ce: ComputeElement) -> bool:
    try:
        ce.probe()
    except CEUnreachable:
        return False
    return True


@DIRECT
def test_a_process_that_dies_in_the_middle_of_a_call_costs_that_call_only(site: Site) -> None:
    before = children()
    caught: list[CEUnreachable] = []
    with site.ce() as ce:
        ce.probe()
        [process] = children() - before

        def ask() -> None:
            try:
                ce.inspect(["1.0#1"])
            except CEUnreachable as e:
                caught.append(e)

        with frozen("condorB"):
            asking = threading.Thread(target=ask)
            asking.start()
            time.sleep(1.0)
            os.kill(process, signal.SIGKILL)
            asking.join()
        assert [error.sent for error in caught] == [True]
        ce.probe()
        assert process not in children()


@EVERY
def test_no_process_stays_when_a_ce_is_closed(site: Site) -> None:
    before = children()
    with site.ce() as ce:
        ce.probe()
        assert len(children() - before) == 1
    assert children() <= before


@EVERY
def test_a_creation_whose_answer_is_lost_is_found_by_its_token_and_was_done_once(
    site: Site, ce: ComputeElement, delegation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = site.submission(JOB)
    with site.ce() as lossy, monkeypatch.context() as patch:
        patch.setattr(Workers, "call", losing("submit"))
        with pytest.raises(CEUnreachable) as caught:
            lossy.create([submission], delegation)
    assert caught.value.sent is True

    found = ce.inspect(sorted(ce.list_ids()))
    [job] = [job for job, s in found.items() if isinstance(s, CEStatus) and s.name == submission.token]
    site.made.append(job)
    assert status_of(ce, job).armed is None


def losing(op: str) -> Callable[..., Any]:
    """Calls whose process ends when what it was asked for is done, but not yet told."""
    really = Workers.call

    def call(self: Workers, client: Client, end: float, **request: Any) -> Any:
        answer = really(self, client, end, **request)
        if request["op"] != op:
            return answer
        self.forget(client)
        raise CEUnreachable("lost", sent=True)

    return call


@DIRECT
def test_a_job_whose_inputs_cannot_be_sent_any_more_is_removed_and_certainly_never_ran(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    with site.ce() as gone:
        [job] = site.create(gone, delegation, JOB)
    assert isinstance(ce.arm({job: JOB})[job], CERefused)
    status = status_of(ce, job)
    assert (status.event, status.armed) == (Event.KILLED, False)
    assert isinstance(ce.clean([job])[job], type(None))


@EVERY
def test_a_job_that_the_site_holds_is_told_with_the_reason(site: Site, ce: ComputeElement, delegation: str) -> None:
    job, token = started(site, ce, delegation)
    there = job_at(far_pool(site), token)
    at_the_site(far_pool(site), "act", action="Hold", ids=[there], reason="it disturbs others")
    status = site.wait(ce, [job], [Event.HELD])[job]
    assert "it disturbs others" in status.error
    assert "code 1" in status.error
    assert ce.kill([job]) == {job: None}
    assert site.wait(ce, [job])[job].event is Event.KILLED


@EVERY
def test_a_job_that_the_site_removes_is_told_with_the_reason(site: Site, ce: ComputeElement, delegation: str) -> None:
    job, token = started(site, ce, delegation)
    at_the_site(far_pool(site), "act", action="Remove", ids=[job_at(far_pool(site), token)], reason="we close")
    status = site.wait(ce, [job])[job]
    if site.door == "submit_collector" and far_pool(site) == "condorB":
        assert status.event is Event.FAILED
        assert "disappeared" in status.error
    else:
        assert status.event is Event.KILLED
        assert "we close" in status.error
    assert status.armed is True


@EVERY
def test_a_job_whose_node_was_lost_has_failed_and_does_not_start_again(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    job, token = started(site, ce, delegation)
    at_the_site(far_pool(site), "act", action="VacateFast", ids=[job_at(far_pool(site), token)], reason="power cut")
    status = site.wait(ce, [job])[job]
    assert (status.event, status.armed) == (Event.FAILED, True)
    started_there = f'ActToken == "{token}" && NumShadowStarts > 1'
    assert at_the_site(far_pool(site), "query", constraint=started_there, projection=["ClusterId"]) == []


@POOL
def test_what_became_of_a_job_that_left_the_queue_is_told_by_the_history(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    [job] = site.create(ce, delegation, JOB)
    for action in ("Remove", "RemoveX"):
        at_the_site("condorA", "act", action=action, ids=[job.partition("#")[0]], reason="we close")
    until(lambda: job not in ce.list_ids(), site.within_s)
    assert isinstance(ce.status([job])[job], JobGone)
    told = ce.status([job])[job]
    assert isinstance(told, CEStatus)
    assert told.event is Event.KILLED


@POOL
def test_a_job_that_is_held_for_a_reason_that_may_pass_is_released_by_the_schedd(site: Site, delegation: str) -> None:
    options = {**site.address.options, "hold_release_after_s": "1"}
    with site.ce(options=options) as ce:
        job, file = without_its_input(site, ce, delegation)
        site.arm(ce, {job: JOB})
        assert "inputs" in site.wait(ce, [job], [Event.HELD])[job].error
        file.write_text("late\n")
        assert site.wait(ce, [job])[job].event is Event.FINISHED
        out = io.BytesIO()
        ce.fetch(job, "out.txt", out)
        assert out.getvalue() == b"late\n"


@POOL
def test_a_job_that_is_held_for_a_reason_that_stays_is_ended_by_the_schedd(site: Site, delegation: str) -> None:
    with site.ce(options={**site.address.options, "hold_fail": "13"}) as ce:
        job, _ = without_its_input(site, ce, delegation)
        site.arm(ce, {job: JOB})
        status = site.wait(ce, [job])[job]
        assert (status.event, status.armed) == (Event.FAILED, True)
        assert "its inputs cannot be transferred" in status.error
        assert "policy" in status.error


def without_its_input(site: Site, ce: ComputeElement, delegation: str) -> tuple[str, Path]:
    """A job, not armed yet, whose input was taken away; where that was."""
    submission = site.submission(JOB)
    [made] = ce.create([submission], delegation)
    assert isinstance(made, Created)
    site.made.append(made.ce_job_id)
    [directory] = site.address.work_dir.glob(f"condor/*/*/{submission.token}")
    (directory / "in.txt").unlink()
    return made.ce_job_id, directory / "in.txt"


@GRID
@pytest.mark.slow
def test_while_the_remote_pool_is_away_nothing_is_over_and_nothing_is_lost(
    site: Site, ce: ComputeElement, delegation: str
) -> None:
    killed, token = started(site, ce, delegation)
    Grid().kill("condorB")
    try:
        [waiting] = site.create(ce, delegation, JOB)
        site.arm(ce, {waiting: JOB})
        assert ce.kill([killed]) == {killed: None}
        silent = site.wait(ce, [waiting], [Event.HELD])[waiting]
        assert "has not answered its submit point since" in silent.error
        assert status_of(ce, killed).event is None
        assert isinstance(ce.clean([killed])[killed], CERefused)
    finally:
        Grid().up("condorB")
    ended = site.wait(ce, [killed, waiting])
    assert [ended[job].event for job in (waiting, killed)] == [Event.FINISHED, Event.KILLED]
    assert told_of(token) == []


def told_of(token: str) -> Sequence[Any]:
    """What is alive of a job at the remote pool."""
    alive = f'ActToken == "{token}" && JobStatus != 3 && JobStatus != 4'
    ads: Sequence[Any] = at_the_site("condorB", "query", constraint=alive, projection=["ClusterId"])
    return ads
