"""The ARC adapter where only a simulated CE can bring about what happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from act.errors import BadJobSpec, CEBroken, CEFull, CERefused, CredentialError
from act.model import CEAddress, CEStatus, Created, InputFile, JobSpec, Proxy, Submission
from act.simulation import TestCA
from act.states import Event
from act_arc.ce import ArcCE, factory
from act_arc.simulator import ArcSimulator
from tests.fakes import Stored

BARE = JobSpec(name="job", executable="/bin/true")
Opened = tuple[ArcSimulator, ArcCE]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Starts a simulator with options and opens it with the adapter."""
    with ExitStack() as stack:
        ca = TestCA(tmp_path / "ca")
        pem = b"".join(path.read_bytes() for path in ca.user("alice"))

        def start(options: dict[str, str] | None = None, **simulated: Any) -> Opened:
            simulator = stack.enter_context(ArcSimulator(tmp_path, ca, run="pretend", queues=("fork",), **simulated))
            address = CEAddress(1, "arc", simulator.url, ca.ca_dir, options=options or {})
            ce = factory(
                address, Proxy(proxy_id=1, role="", identity="alice", pem=pem), Stored({"inputs/big": b"12345"})
            )
            stack.callback(ce.close)
            return simulator, ce

        yield start


def jobs(number: int, spec: JobSpec = BARE) -> list[Submission]:
    return [Submission(i, f"act.unit.{i}.1.0", spec, "fork") for i in range(number)]


def test_a_full_ce_has_done_nothing_and_says_so(opened: Callable[..., Opened]) -> None:
    _, ce = opened(max_total=2)
    assert all(isinstance(answer, Created) for answer in ce.create(jobs(2), ""))
    with pytest.raises(CEFull):
        ce.create(jobs(1), "")
    assert len(ce.list_ids()) == 2


def test_a_job_whose_arming_never_came_is_known_not_to_have_run(opened: Callable[..., Opened]) -> None:
    _, ce = opened(upload_timeout_s=0.1)
    [job] = [answer.ce_job_id for answer in ce.create(jobs(1), "") if isinstance(answer, Created)]
    while True:
        status = ce.status([job])[job]
        assert isinstance(status, CEStatus)
        if status.event is Event.FAILED:
            break
    assert status.armed is False


def test_a_list_that_lacks_a_job_for_a_moment_is_made_good(opened: Callable[..., Opened]) -> None:
    simulator, ce = opened()
    [job] = [answer.ce_job_id for answer in ce.create(jobs(1), "") if isinstance(answer, Created)]
    simulator.empty_list()
    assert ce.list_ids() == {job}


def test_a_creation_that_fails_as_a_whole_is_in_doubt(opened: Callable[..., Opened]) -> None:
    simulator, ce = opened()
    simulator.faults.add({"method": "POST", "path": "action=new", "action": "error-after"})
    with pytest.raises(CEBroken) as caught:
        ce.create(jobs(3), "")
    assert caught.value.sent is True


def test_a_description_too_long_for_its_share_of_a_bulk_is_not_sent(opened: Callable[..., Opened]) -> None:
    _, ce = opened()
    long = JobSpec(name="job", executable="/bin/true", arguments=("x" * 300_000,))
    [answer] = ce.create(jobs(1, long), "")
    assert isinstance(answer, BadJobSpec)
    assert ce.list_ids() == frozenset()


@pytest.mark.parametrize(("version", "told_in_text"), [("1.0", True), ("1.1", False)])
def test_the_version_of_the_interface_can_be_pinned(
    opened: Callable[..., Opened], version: str, told_in_text: bool
) -> None:
    simulator, ce = opened(options={"rest": version})
    delegation = ce.delegate()
    [job] = [answer.ce_job_id for answer in ce.create(jobs(1), delegation) if isinstance(answer, Created)]
    assert (simulator.engine.jobs[job].description.delegation == delegation) is told_in_text


def test_a_version_the_ce_does_not_speak_is_told(opened: Callable[..., Opened]) -> None:
    _, ce = opened(options={"rest": "1.1"}, rest_version="1.0")
    with pytest.raises(CEBroken, match=r"1\.0"):
        ce.probe()


def test_a_delegation_in_use_is_kept(opened: Callable[..., Opened]) -> None:
    _, ce = opened()
    delegation = ce.delegate()
    ce.create(jobs(1), delegation)
    with pytest.raises(CERefused):
        ce.undelegate(delegation)
    assert delegation in ce.list_delegations()


def test_a_file_of_the_store_is_sent_until_it_is_whole_and_then_no_more(opened: Callable[..., Opened]) -> None:
    simulator, ce = opened()
    spec = replace(BARE, inputs=(InputFile("big", stored="inputs/big", size=5), InputFile("other", content="1")))
    [job] = [answer.ce_job_id for answer in ce.create(jobs(1, spec), "") if isinstance(answer, Created)]
    session = simulator.engine.jobs[job].session
    session.mkdir(parents=True, exist_ok=True)
    (session / "big").write_bytes(b"123")
    assert ce.arm({job: spec}) == {job: None}
    assert (session / "big").read_bytes() == b"12345"
    assert ce.arm({job: spec}) == {job: None}
    assert simulator.engine.jobs[job].uploaded == ["big", "other", "other"]


def test_a_version_of_rest_that_takes_no_tokens_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    address = CEAddress(1, "arc", "https://localhost:1/arex", tmp_path, options={"rest": "1.0"})
    with pytest.raises(CredentialError, match=r"REST 1\.0, as configured for .*, takes no tokens"):
        factory(address, Proxy(proxy_id=1, role="", identity="robot", pem=b"", token="token"), Stored())


def test_a_ce_that_offers_no_version_that_takes_tokens_is_not_spoken_to_without(tmp_path: Path) -> None:
    ca = TestCA(tmp_path / "ca")
    with ArcSimulator(tmp_path, ca, run="pretend", rest_version="1.0") as simulator:
        address = CEAddress(1, "arc", simulator.url, ca.ca_dir)
        ce = factory(address, Proxy(proxy_id=1, role="", identity="robot", pem=b"", token="token"), Stored())
        with pytest.raises(CredentialError):
            ce.probe()
        ce.close()
        assert simulator.requests() == {"GET ": 1}
