"""The compute elements that the contract suite runs against: simulators, and real ones where they are installed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import pytest
from _pytest.mark import ParameterSet

from act.db.engine import chunks
from act.interfaces import CEFactory, ComputeElement
from act.model import CEAddress, CEStatus, Created, JobSpec, Proxy, Submission
from act.simulation import TestCA
from act.simulation.issuer import TokenKeys
from act.states import Event
from act.x509 import make_proxy, read_proxy
from act_arc.ce import factory
from act_arc.simulator import ArcSimulator
from act_condor.ce import factory as condor_factory
from tests.fakes import Stored
from tests.grid.control import Grid, GridError
from tests.needs import unavailable

ENDED = (Event.FINISHED, Event.FAILED, Event.KILLED, Event.STAGEFAILED)


@dataclass
class Site:
    """A CE under test, its users, and what a test needs to know of it; a trivial job ends there in ``within_s``.

    door: what of the address says where it is spoken to: "url", or the name of an option.
    """

    factory: CEFactory
    address: CEAddress
    user: Proxy
    stranger: Proxy
    queue: str
    wrong_queue: str
    within_s: float
    door: str = "url"
    made: list[str] = field(default_factory=list)
    inputs: Stored = field(default_factory=Stored)

    @contextmanager
    def ce(self, proxy: Proxy | None = None, **changes: Any) -> Iterator[ComputeElement]:
        """The CE seen by the user, or with another proxy or address."""
        ce = self.factory(replace(self.address, **changes), proxy or self.user, self.inputs)
        try:
            yield ce
        finally:
            ce.close()

    def at(self, port: int, host: str = "") -> dict[str, Any]:
        """Changes of the address that make it lead to another port, or host too."""
        if self.door != "url":
            return {"options": {**self.address.options, self.door: f"{host or 'localhost'}:{port}"}}
        parts = urlsplit(self.address.url)
        return {"url": urlunsplit(parts._replace(netloc=f"{host or parts.hostname}:{port}"))}

    def submission(self, spec: JobSpec, queue: str | None = None) -> Submission:
        """A submission with a token that was never used before."""
        return Submission(1, f"act.contract.1.1.{secrets.token_hex(8)}", spec, queue or self.queue)

    def create(self, ce: ComputeElement, delegation: str, *specs: JobSpec) -> list[str]:
        """Create inert jobs; their ids."""
        answers = ce.create([self.submission(spec) for spec in specs], delegation)
        ids = [answer.ce_job_id for answer in answers if isinstance(answer, Created)]
        self.made += ids
        assert len(ids) == len(specs), answers
        return ids

    def arm(self, ce: ComputeElement, jobs: Mapping[str, JobSpec]) -> None:
        """Let jobs run, in as many calls as it takes."""
        for part in chunks(list(jobs), ce.arm_batch):
            assert ce.arm({job: jobs[job] for job in part}) == dict.fromkeys(part)

    def wait(
        self, ce: ComputeElement, ids: Sequence[str], wanted: Sequence[Event] = ENDED, within_s: float | None = None
    ) -> dict[str, CEStatus]:
        """Poll until each of the jobs is in one of the wanted phases."""
        end = time.monotonic() + (within_s or self.within_s)
        while True:
            found = ce.status(ids)
            statuses = {job: s for job, s in found.items() if isinstance(s, CEStatus)}
            assert statuses.keys() == set(ids), found
            if all(s.event in wanted for s in statuses.values()):
                return statuses
            assert time.monotonic() < end, found
            time.sleep(0.3)


def _real(name: str) -> Callable[[ExitStack], Site]:
    def make(_: ExitStack) -> Site:
        grid = Grid()
        if reason := grid.installed():
            unavailable(reason)
        try:
            grid.up(name)
            ce = grid.ce(name)
            users = [_proxy(grid.proxy(user).read_bytes(), user) for user in ("bob.pilot", "mallory")]
        except GridError as e:
            unavailable(str(e))
        return _site(ce.url, ce.ca_dir, users[0], users[1], within_s=90)

    return make


def _simulated_with_token(stack: ExitStack) -> Site:
    """A CE that is spoken to with bearer tokens; the stranger's are of another issuer."""
    directory = Path(stack.enter_context(TemporaryDirectory()))
    ca, keys = TestCA(directory / "ca"), TokenKeys()
    certificate, key = (path.read_bytes() for path in ca.user("alice"))
    robot = _proxy(make_proxy(certificate, key, 3600), "robot")
    users = [replace(robot, token=issuer.sign("robot")) for issuer in (keys, TokenKeys())]
    simulator = stack.enter_context(ArcSimulator(directory, ca, queues=("fork",), token_keys=keys.public()))
    return _site(simulator.url, ca.ca_dir, users[0], users[1], within_s=20)


def _with_token(_: ExitStack) -> Site:
    """A real CE that is spoken to with bearer tokens; the stranger's does not allow to make jobs."""
    name = "ce3"
    grid = Grid()
    if reason := grid.installed():
        unavailable(reason)
    try:
        grid.up(name)
        ce = grid.ce(name)
        pem = grid.proxy("alice.prod").read_bytes()
        tokens = [grid.token(name), grid.token(name, scope="openid")]
    except GridError as e:
        unavailable(str(e))
    users = [replace(_proxy(pem, "robot"), token=token) for token in tokens]
    return _site(ce.url, ce.ca_dir, users[0], users[1], within_s=90)


def _simulated(version: Literal["1.0", "1.1"]) -> Callable[[ExitStack], Site]:
    def make(stack: ExitStack) -> Site:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        ca = TestCA(directory / "ca")
        users = []
        for name in ("alice", "mallory"):
            certificate, key = (path.read_bytes() for path in ca.user(name))
            users.append(_proxy(make_proxy(certificate, key, 3600), name))
        allowed = [read_proxy(users[0].pem).identity]
        simulator = stack.enter_context(
            ArcSimulator(directory, ca, rest_version=version, queues=("fork",), allowed_identities=allowed)
        )
        return _site(simulator.url, ca.ca_dir, users[0], users[1], within_s=20)

    return make


def _proxy(pem: bytes, identity: str) -> Proxy:
    return Proxy(proxy_id=1, role="", identity=identity, pem=pem)


def _site(url: str, ca_dir: Path, user: Proxy, stranger: Proxy, within_s: float) -> Site:
    address = CEAddress(ce_id=1, flavour="arc", url=url, ca_dir=ca_dir)
    return Site(factory, address, user, stranger, queue="fork", wrong_queue="no-such-queue", within_s=within_s)


def _condor(route: Literal["grid", "pool", "direct"]) -> Callable[[ExitStack], Site]:
    """condorB is the CE, except for the route that ends in condorA. Strangers are known to no pool."""

    def make(stack: ExitStack) -> Site:
        grid = Grid()
        if reason := grid.installed() or condor_factory.missing():
            unavailable(reason)
        try:
            grid.up("condorA", "condorB")
            near, far = grid.pool("condorA"), grid.pool("condorA" if route == "pool" else "condorB")
            users = [_proxy(grid.proxy(user).read_bytes(), user) for user in ("bob.pilot", "mallory")]
            options = {"condor_config": str(grid.client_config("proxy")), "schedd": far.schedd}
        except GridError as e:
            unavailable(str(e))
        address = CEAddress(
            ce_id=1, flavour="condor", url=far.collector, ca_dir=grid.ca_dir,
            submit_point="" if route == "direct" else near.schedd,
            work_dir=stack.enter_context(grid.share("gridatlas")),
            options=options if route == "direct" else {**options, "route": route, "owner": "gridatlas"},
        )  # fmt: skip
        door = "collector" if route == "direct" else "submit_collector"
        return Site(condor_factory, address, users[0], users[1], queue="", wrong_queue="", within_s=120, door=door)

    return make


@dataclass(frozen=True)
class Kind:
    """A kind of site. real: on real middleware. refuses_queues: a job for an unknown queue is refused when it is made.
    https: all that is said goes through one connection to the URL, which a relay may be put into. live: files of
    running jobs can be read. route: the option of HTCondor."""

    make: Callable[[ExitStack], Site]
    real: bool = True
    refuses_queues: bool = True
    https: bool = True
    live: bool = True
    route: str = ""

    @property
    def marks(self) -> tuple[pytest.MarkDecorator, ...]:
        """Of tests there. Those at pools disturb them, and so do others; a group has one worker to itself."""
        group = pytest.mark.group(name="pools" if self.route else "contract")
        return (pytest.mark.real, group) if self.real else ()


KINDS = {
    "arc-sim-1.1": Kind(_simulated("1.1"), real=False),
    "arc-sim-1.0": Kind(_simulated("1.0"), real=False),
    "arc-sim-token": Kind(_simulated_with_token, real=False),
    "arex-7": Kind(_real("ce1")),
    "arex-7-token": Kind(_with_token),
    "arex-6": Kind(_real("ce6")),
    "condor-grid": Kind(_condor("grid"), refuses_queues=False, https=False, live=False, route="grid"),
    "condor-pool": Kind(_condor("pool"), refuses_queues=False, https=False, live=False, route="pool"),
    "condor-direct": Kind(_condor("direct"), refuses_queues=False, https=False, live=False, route="direct"),
}


def kinds(**wanted: bool | str) -> list[ParameterSet]:
    """The kinds of sites that are so, for the fixture ``site``."""
    return [
        pytest.param(name, marks=kind.marks)
        for name, kind in KINDS.items()
        if all(getattr(kind, key) == value for key, value in wanted.items())
    ]
