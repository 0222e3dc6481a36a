"""One thing that somebody has to look at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """CRITICAL: jobs or reports suffer now, and somebody is woken. WARNING: they soon may, or only some do."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Alarm:
    """name: the kind, as in metrics and rules (``ce_down``); about: the CE, host, role or daemon, "" for the tower.

    text: what is wrong, one line; todo: what to do about it; since: by the database's clock, if it is known.
    """

    name: str
    severity: Severity
    about: str
    text: str
    todo: str
    since: float | None = None
