"""A PanDA job and the facts of its queue -> what a CE is asked for. Rules are data, one table per CE type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from act.errors import ConfigError
from act.model import InputFile, JobSpec, OutputFile
from act_atlas.config import AtlasConfig
from act_atlas.conversion import arc, condor
from act_atlas.conversion.rules import Facts, Rule, Step, run
from act_atlas.pandajob import PandaJob
from act_atlas.queueinfo import BadQueue, Endpoint, QueueInfo

RULES: Mapping[str, tuple[Rule, ...]] = {"arc": arc.RULES, "condor": condor.RULES}


@dataclass(frozen=True, slots=True)
class Conversion:
    """share: what fairness is between. candidates: where it may go; none for now if ().
    truepilot: the pilot speaks for itself. steps: how it came about."""

    spec: JobSpec
    share: str
    candidates: tuple[Endpoint, ...]
    truepilot: bool
    steps: tuple[Step, ...] = field(repr=False)

    def why(self) -> Iterator[str]:
        """A line for each value, ``walltime_min = 10080 because ...``; for lists a line for each part."""
        chains: dict[str, list[Step]] = {}
        for step in self.steps:
            if not step.added:
                chains.setdefault(step.attribute, []).append(step)
        for attribute, chain in chains.items():
            yield f"{attribute} = {_show(chain[-1].value)} because {'; '.join(step.why for step in chain)}"
        for step in self.steps:
            if step.attribute == "inputs":
                yield f"inputnames += {_show(tuple(f.name for f in step.value))} because {step.why}"
                yield f"inputsources += {_show(step.value)} because {step.why}"
            elif step.added:
                yield f"{step.attribute} += {_show(step.value)} because {step.why}"


def convert(
    job: PandaJob,
    queue: QueueInfo,
    config: AtlasConfig,
    *,
    flavour: str,
    created: float,
    rowid: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Conversion:
    """What a CE of type ``flavour`` is asked for.

    created: when the tower took the job, s since the epoch. rowid: of the job in the tower. metadata: what a Harvester
    sent along. Raises BadJobSpec with field and value; BadQueue if such CEs cannot run jobs of the queue; and
    ConfigError if a setting is missing.
    """
    if flavour not in RULES:
        raise ConfigError(f"no conversion rules for CE type '{flavour}' (known: {', '.join(RULES)})")
    if not queue.suits(flavour):
        raise BadQueue(f"queue {queue.name} is in NorduGrid mode, and CEs of type {flavour} run true pilots only")
    site = config.queues.named(queue.name).rules
    facts = Facts(job, queue, config, created, rowid, metadata or {}, site)
    steps = run(RULES[flavour], facts)
    return Conversion(facts.draft.spec(), queue.name, queue.candidates(flavour), queue.truepilot, steps)


def _show(value: Any) -> str:
    match value:
        case InputFile():
            return f"{value.name} from {value.source or 'the tower'}"
        case OutputFile():
            return value.name
        case dict():
            return " ".join(f"{name}={text}" for name, text in value.items())
        case tuple():
            return " ".join(_show(item) for item in value) or "nothing"
        case None:
            return "nothing"
        case _:
            return str(value)
