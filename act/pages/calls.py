"""How often a CE was called, how long that took and how often it failed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from act.db.engine import AnyRow
from act.db.history import Sample

# Calls that people look at first: bringing jobs there, and asking for them.
GROUPS: Mapping[str, tuple[str, ...]] = {"submitting": ("create", "arm"), "polling": ("status", "inspect", "list_ids")}
TOGETHER_S = 600  # so much of the past makes one point of a plot: a CE is called now and then


@dataclass(frozen=True, slots=True)
class Calls:
    """What calls came to. seconds: all together; failed: how many of them did."""

    name: str
    number: float
    seconds: float
    failed: float

    @property
    def each_s(self) -> float:
        """How long one took, on average."""
        return self.seconds / self.number if self.number else 0.0

    @property
    def failing(self) -> float:
        """The part that failed, 0 to 1."""
        return min(1.0, self.failed / self.number) if self.number else 0.0


def of_counters(row: AnyRow) -> Calls:
    """A row of `act.db.survey.calls_at`."""
    return Calls(row.call, float(row.calls), float(row.seconds), float(row.errors))


def of_samples(name: str, samples: Iterable[Sample], calls: Iterable[str] | None = None) -> Calls | None:
    """What these calls, or all, came to in samples of a CE; None where there were none."""
    wanted = None if calls is None else set(calls)
    sums = {"calls": 0.0, "s": 0.0, "errors": 0.0}
    for sample in samples:
        for key, value in sample.figures.items():
            call, _, what = key.removeprefix("+").rpartition(" ")
            if key.startswith("+") and what in sums and (wanted is None or call in wanted):
                sums[what] += value
    return Calls(name, sums["calls"], sums["s"], sums["errors"]) if sums["calls"] else None


def over_time(samples: Iterable[Sample]) -> tuple[list[Sample], list[Sample]]:
    """(seconds that one call takes, percent of calls that fail), each by the names of `GROUPS`, `TOGETHER_S` a point.

    Where nothing was called there is no point; where nothing failed at all, none of the second.
    """
    buckets: dict[int, list[Sample]] = {}
    for sample in samples:
        buckets.setdefault(sample.at // TOGETHER_S * TOGETHER_S, []).append(sample)
    took, failing = [], []
    for at, bucket in sorted(buckets.items()):
        found = [c for name, calls in GROUPS.items() if (c := of_samples(name, bucket, calls)) is not None]
        if found:
            took.append(Sample(at, {c.name: c.each_s for c in found}))
            failing.append(Sample(at, {c.name: 100 * c.failing for c in found}))
    return took, failing if any(v for s in failing for v in s.figures.values()) else []
