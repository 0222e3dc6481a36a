"""When a job ran and what it used, such that the numbers agree with each other. Times are seconds since the epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_CPU_S = 10_000_000  # above it the number is an accident of the batch system
_LATEST = 1e11  # year 5138


@dataclass(frozen=True, slots=True)
class Times:
    """None: not known."""

    start: float | None
    end: float | None
    cpu_s: int | None


def consistent_times(
    start: float | None, end: float | None, cpu_s: float | None, wall_s: float | None, cores: int, *, created: float
) -> Times:
    """What several sources tell of a job, made to agree: created <= start <= end, and CPU time within the cores.

    A missing start or end comes from the other and wall_s. CPU time that does not fit into the cores moves the start
    back, as far as ``created``; what is still too much then is cut. The end is rounded up to a second.
    """
    cpu = int(cpu_s) if cpu_s is not None and 0 <= cpu_s <= MAX_CPU_S else None
    if wall_s is not None and start is None and end is not None:
        start = end - wall_s
    elif wall_s is not None and end is None and start is not None:
        end = start + wall_s
    if start is not None:
        start = max(start, created)
    if end is not None:
        end = math.ceil(max(end, start if start is not None else created))
    if start is None or end is None or cpu is None:
        return Times(start, end, cpu)
    start = max(min(start, end - cpu / max(cores, 1)), created)
    return Times(start, end, min(cpu, int((end - start) * max(cores, 1))))


def epoch(value: object) -> float | None:
    """A time as pilots write it: seconds since the epoch, or UTC as text; None for anything else."""
    if isinstance(value, str):
        value = _seconds(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _LATEST else None


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        told = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
