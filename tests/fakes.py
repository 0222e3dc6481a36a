"""A compute element in memory that keeps the promises of `act.interfaces.ComputeElement`, and breaks them by rule.

`Site` is the far side: it lives on when the tower's process dies. `FakeCE` is one connection to it.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

from act.errors import ActError, BadJobSpec, CERefused, CEUnreachable, JobError, JobGone, OutputMissing
from act.interfaces import Inputs
from act.model import CEAddress, CEStatus, Created, JobSpec, Proxy, Submission
from act.states import Event
from tests.power import Power

T = TypeVar("T")


class Stored(dict[str, bytes]):
    """`act.interfaces.Inputs` in memory: name -> content."""

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        if name not in self:
            raise OutputMissing(f"there is no file {name}")
        yield io.BytesIO(self[name])


# The site's words: state -> what a poll says of it.
WORDS: dict[str, tuple[Event | None, bool | None]] = {
    "inert": (Event.WAITING, None),
    "queued": (Event.WAITING, True),
    "held": (Event.HELD, True),
    "running": (Event.RUNNING, True),
    "finishing": (Event.FINISHING, True),
    "finished": (Event.FINISHED, True),
    "failed": (Event.FAILED, True),
    "stagefailed": (Event.STAGEFAILED, True),
    "timeout": (Event.FAILED, False),  # the arming file never came
    "killing": (None, True),
    "killed": (Event.KILLED, True),
}
OVER = frozenset({"finished", "failed", "stagefailed", "timeout", "killed"})


@dataclass
class FakeJob:
    """A job at the site. runs: how often its payload was executed."""

    name: str
    queue: str
    spec: JobSpec
    delegation: str
    state: str = "inert"
    runs: int = 0
    exit_code: int | None = None
    error: str = ""
    node: str = ""
    owner: str = ""
    inputs: dict[str, bytes] = field(default_factory=dict)  # that were uploaded


@dataclass
class Rule:
    """What goes wrong: ``error`` before or after acting, or ``late``: it is done only at `Site.deliver`."""

    call: str
    error: ActError
    phase: str = "before"
    times: int = 1
    when: Callable[..., bool] = lambda *_: True


@dataclass
class Site:
    """A CE that can be reached under ``url``."""

    url: str
    power: Power
    batch: int = 8
    jobs: dict[str, FakeJob] = field(default_factory=dict)
    delegations: dict[str, str] = field(default_factory=dict)  # id -> what it was signed with
    rules: list[Rule] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    files: dict[str, bytes] = field(default_factory=dict)
    mix_up: bool = False  # answers of bulks come in the wrong order
    lists_nothing: bool = False
    _late: list[Callable[[], Any]] = field(default_factory=list)
    _ids: int = 0

    def fails(self, call: str, error: ActError, phase: str = "before", times: int = 1, **more: Any) -> None:
        """Add a rule."""
        self.rules.append(Rule(call, error, phase, times, **more))

    def heal(self) -> None:
        """Forget all rules."""
        self.rules.clear()

    def deliver(self) -> None:
        """Do now what clients that have given up had asked for."""
        late, self._late = self._late, []
        for work in late:
            work()

    def tick(self) -> None:
        """Jobs go one step on: what is armed runs, what runs ends."""
        for job in self.jobs.values():
            if job.state == "queued":
                job.state, job.runs = "running", job.runs + 1
            elif job.state == "running":
                job.state, job.exit_code = "finished", 0
            elif job.state == "killing":
                job.state = "killed"

    def end_inert(self) -> None:
        """What was never armed fails, as a CE does after its patience."""
        for job in self.jobs.values():
            if job.state == "inert":
                job.state = "timeout"

    def new_id(self) -> str:
        """An id that was never given before."""
        self._ids += 1
        return f"j{self._ids}"

    def do(self, call: str, work: Callable[[], T], *arguments: Any) -> T:
        """One call of a client, with what goes wrong in it."""
        self.power.hit(f"ce.{call}", "before")
        self.calls[call] += 1
        rule = next((r for r in self.rules if r.call in (call, "*") and r.times and r.when(*arguments)), None)
        if rule is None:
            result = work()
        else:
            rule.times -= 1
            if rule.phase == "after":
                work()
            elif rule.phase == "late":
                self._late.append(work)
            raise rule.error
        self.power.hit(f"ce.{call}", "after")
        return result


class FakeCE:
    """One connection to a site, with one credential."""

    def __init__(self, site: Site, proxy: Proxy, inputs: Inputs) -> None:
        self.site = site
        self.proxy = proxy
        self.inputs = inputs
        self.batch = site.batch
        self.arm_batch = 1
        self.status_batch = site.batch * 100

    def probe(self) -> None:
        self.site.do("probe", lambda: None)

    def create(self, jobs: Sequence[Submission], delegation: str) -> list[Created | JobError]:
        def work() -> list[Created | JobError]:
            assert delegation in self.site.delegations, "the CE does not know the delegation"
            answers = [self._create(job, delegation) for job in jobs]
            return answers[::-1] if self.site.mix_up else answers

        return self.site.do("create", work, jobs)

    def _create(self, job: Submission, delegation: str) -> Created | JobError:
        if "refuse" in job.spec.extra:
            return CERefused(job.spec.extra["refuse"])
        ce_job_id = self.site.new_id()
        name = f"{job.spec.name[:100]}-{job.token}"
        self.site.jobs[ce_job_id] = FakeJob(name, job.queue, job.spec, delegation, owner=self.proxy.identity)
        return Created(ce_job_id)

    def arm(self, jobs: Mapping[str, JobSpec]) -> dict[str, JobError | None]:
        return self.site.do("arm", lambda: {i: self._arm(i) for i in jobs}, list(jobs))

    def _arm(self, ce_job_id: str) -> JobError | None:
        job = self.site.jobs.get(ce_job_id)
        if job is None:
            return JobGone(ce_job_id)
        if job.state in OVER:
            return CERefused("too late")
        try:
            self._bring(job)
        except OutputMissing as e:
            return e
        if job.state == "inert":
            job.state = "queued"
        return None

    def _bring(self, job: FakeJob) -> None:
        for file in job.spec.inputs:
            if file.stored:
                with self.inputs.open(file.stored) as source:
                    job.inputs[file.name] = source.read()
                self.site.power.hit("ce.upload", "after")

    def list_ids(self) -> frozenset[str]:
        mine = {i for i, j in self.site.jobs.items() if j.owner == self.proxy.identity}
        return self.site.do("list_ids", lambda: frozenset() if self.site.lists_nothing else frozenset(mine))

    def inspect(self, ce_job_ids: Sequence[str]) -> dict[str, CEStatus | JobError]:
        return self.site.do("inspect", lambda: {i: self._tell(i) for i in ce_job_ids}, ce_job_ids)

    def status(self, ce_job_ids: Sequence[str]) -> dict[str, CEStatus | JobError]:
        return self.site.do("status", lambda: {i: self._tell(i) for i in ce_job_ids}, ce_job_ids)

    def _tell(self, ce_job_id: str) -> CEStatus | JobError:
        job = self.site.jobs.get(ce_job_id)
        if job is None:
            return JobGone(ce_job_id)
        event, armed = WORDS[job.state]
        return CEStatus(event, job.state.upper(), job.name, job.exit_code, job.error, job.node, armed=armed)

    def kill(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        return self.site.do("kill", lambda: {i: self._kill(i) for i in ce_job_ids}, ce_job_ids)

    def _kill(self, ce_job_id: str) -> JobError | None:
        job = self.site.jobs.get(ce_job_id)
        if job is None:
            return JobGone(ce_job_id)
        if job.state not in OVER:
            job.state = "killing"
        return None

    def clean(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        return self.site.do("clean", lambda: {i: self._clean(i) for i in ce_job_ids}, ce_job_ids)

    def _clean(self, ce_job_id: str) -> JobError | None:
        job = self.site.jobs.get(ce_job_id)
        if job is None:
            return JobGone(ce_job_id)
        if job.state not in OVER:
            return CERefused("the job has not ended")
        del self.site.jobs[ce_job_id]
        return None

    def restart(self, ce_job_ids: Sequence[str]) -> dict[str, JobError | None]:
        return self.site.do("restart", lambda: {i: self._restart(i) for i in ce_job_ids}, ce_job_ids)

    def _restart(self, ce_job_id: str) -> JobError | None:
        job = self.site.jobs.get(ce_job_id)
        if job is None:
            return JobGone(ce_job_id)
        if job.state != "stagefailed":
            return CERefused("nothing to repeat")
        job.state = "queued" if job.runs == 0 else "finishing"
        return None

    def fetch(self, ce_job_id: str, name: str, out: BinaryIO) -> int:
        def work() -> int:
            if ce_job_id not in self.site.jobs:
                raise JobGone(ce_job_id)
            if name not in self.site.files:
                raise OutputMissing(name)
            return out.write(self.site.files[name])

        return self.site.do("fetch", work, ce_job_id, name)

    def files(self, ce_job_id: str, folder: str) -> list[str]:
        def work() -> list[str]:
            if ce_job_id not in self.site.jobs:
                raise JobGone(ce_job_id)
            return sorted(name for name in self.site.files if name.startswith(folder) and not name.startswith("diag"))

        return self.site.do("files", work, ce_job_id, folder)

    def delegate(self) -> str:
        def work() -> str:
            made = f"d{self.site.new_id()}"
            self.site.delegations[made] = self.proxy.pem.decode()
            return made

        return self.site.do("delegate", work)

    def renew(self, delegation: str) -> None:
        def work() -> None:
            if delegation not in self.site.delegations:
                raise JobGone(delegation)
            self.site.delegations[delegation] = self.proxy.pem.decode()

        self.site.do("renew", work)

    def undelegate(self, delegation: str) -> None:
        self.site.do("undelegate", lambda: self.site.delegations.pop(delegation, None))

    def list_delegations(self) -> frozenset[str]:
        return self.site.do("list_delegations", lambda: frozenset(self.site.delegations))

    def close(self) -> None:
        pass


class FakeFactory:
    """What the entry point of a CE type would name, for these sites."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = {site.url: site for site in sites}

    def __call__(self, address: CEAddress, proxy: Proxy, inputs: Inputs) -> FakeCE:
        return FakeCE(self._sites[address.url], proxy, inputs)

    def check(self, address: CEAddress) -> None:
        pass

    def summary(self, spec: JobSpec) -> dict[str, Any]:
        return {"name": spec.name}

    def describe(self, job: Submission) -> str:
        if not job.spec.executable:
            raise BadJobSpec("no executable")
        return f"name={job.spec.name} queue={job.queue} token={job.token}"


def unreachable(*, sent: bool = True) -> CEUnreachable:
    """No usable answer."""
    return CEUnreachable("no answer", sent=sent)
