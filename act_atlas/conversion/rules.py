"""How rules turn a PanDA job into a request: what they see, what they fill in, and how they are run.

A rule is a row of a table: attribute, reason, value, condition. Rows run from top to bottom; one that applies sets the
attribute, or adds to it, knowing the value so far. What each row did is kept, so that every value can be explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from act.errors import BadJobSpec, ConfigError
from act.model import InputFile, JobSpec, OutputFile
from act_atlas.config import ATLAS_FILE, AtlasConfig, SiteRules
from act_atlas.pandajob import PandaJob
from act_atlas.queueinfo import QueueInfo

MINUTE_S = 60


@dataclass(slots=True)
class Draft:
    """A request while it is made, in the units and under the names that people of the field use.

    Rules give the walltime either in minutes or in seconds, and the memory either per core or in total. resource_type,
    pilot_url and wrapper_url are in no request, but others are made from them. stderr None: joined with stdout.
    """

    name: str = ""
    count: int = 1
    countpernode: int | None = None
    walltime_min: int = 0
    walltime_s: int = 0
    cputime_min: int | None = None
    memory_mb_per_core: int = 0
    memory_mb_total: int = 0
    resource_type: str = ""
    disk_mb: int | None = None
    priority: int | None = None
    runtimeenvironment: tuple[str, ...] = ()
    pilot_url: str = ""
    wrapper_url: str = ""
    executable: str = ""
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    inputs: tuple[InputFile, ...] = ()
    outputs: tuple[OutputFile, ...] = ()
    stdout: str = ""
    stderr: str | None = None
    join: str = "yes"
    gmlog: str = ""
    rerun: int = 0
    fetch: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)

    def spec(self) -> JobSpec:
        """The finished request."""
        return JobSpec(
            name=self.name,
            executable=self.executable,
            arguments=self.arguments,
            environment=tuple(self.environment.items()),
            cores=self.count,
            single_node=True,
            memory_mb_total=self.memory_mb_total or self.memory_mb_per_core * self.count,
            walltime_s=self.walltime_s or self.walltime_min * MINUTE_S,
            cputime_s=None if self.cputime_min is None else self.cputime_min * MINUTE_S,
            disk_mb=self.disk_mb,
            priority=self.priority,
            runtime_environments=self.runtimeenvironment,
            inputs=self.inputs,
            outputs=self.outputs,
            stdout=self.stdout,
            stderr=self.stderr,
            log_dir=self.gmlog,
            reruns=self.rerun,
            fetch=self.fetch,
            extra=self.extra,
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """All that rules may look at.

    created: when the tower took the job, s since the epoch. rowid: of the job here. site: exceptions for the queue.
    """

    job: PandaJob
    queue: QueueInfo
    config: AtlasConfig
    created: float
    rowid: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    site: SiteRules = field(default_factory=SiteRules)
    draft: Draft = field(default_factory=Draft)

    @property
    def log_url(self) -> str:
        """Where people will find the job's log."""
        day = datetime.fromtimestamp(self.created, UTC).date()
        return f"{self.config.joblog.urlprefix}/{day}/{self.queue.name}/{self.job.panda_id}.out"

    def meta(self, name: str) -> str:
        """What came along with the job under a name; "" if nothing. Raises BadJobSpec."""
        value = self.metadata.get(name)
        text = "" if value is None else str(value)
        if not text.isprintable():
            raise BadJobSpec(f"metadata {name} = {text[:60]!r} is not printable text")
        return text

    def setting(self, section: str, name: str) -> str:
        """A text of the configuration that cannot be done without. Raises ConfigError."""
        value = str(getattr(getattr(self.config, section), name))
        if not value:
            raise ConfigError(f"{section}/{name} is not set in {ATLAS_FILE}")
        return value


Condition = Callable[[Facts, Any], bool]
Value = Callable[[Facts, Any], Any]


def always(_: Facts, __: Any) -> bool:
    """The condition of rules without one."""
    return True


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. ``value`` and ``when`` get the facts and the attribute's value so far; adds: extend, not replace."""

    attribute: str
    why: str
    value: Value
    when: Condition = always
    adds: bool = False


def add(attribute: str, why: str, value: Value, when: Condition = always) -> Rule:
    """A row that extends a tuple or a mapping."""
    return Rule(attribute, why, value, when, adds=True)


@dataclass(frozen=True, slots=True)
class Step:
    """What one row did: the attribute's new value, or what was added to it."""

    attribute: str
    value: Any
    why: str
    added: bool


def run(rules: Iterable[Rule], facts: Facts) -> tuple[Step, ...]:
    """Fill in ``facts.draft``; returns the steps. Raises BadJobSpec, ConfigError."""
    steps = []
    for rule in rules:
        before = getattr(facts.draft, rule.attribute)
        if rule.when(facts, before):
            value = rule.value(facts, before)
            after = value
            if rule.adds:
                after = before | value if isinstance(before, dict) else before + value
            setattr(facts.draft, rule.attribute, after)
            steps.append(Step(rule.attribute, value, rule.why, rule.adds))
    return tuple(steps)
