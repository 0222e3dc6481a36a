"""What is wrong with a host of the tower, by what it last said of itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from act.config import Alarms
from act.db.hosts import Seen
from act.explain.words import some, span


class Ailment(StrEnum):
    """What hosts suffer from."""

    CLOCK = "clock"
    DATABASE = "database"
    DISK = "disk"
    DAEMON = "daemon"  # one that ends again and again


@dataclass(frozen=True, slots=True)
class Ill:
    """A host that has an ailment. where: the directory or daemon, "" for all the host; text: one line."""

    ailment: Ailment
    host: str
    where: str
    text: str


def ills(seen: Seen, limits: Alarms) -> Iterator[Ill]:
    """Of a host that still speaks; what it said long ago counts no more."""
    if seen.age_s > limits.silent_s:
        return
    host, facts = seen.host, seen.facts
    if abs(facts.clock_skew_s) > limits.clock_s:
        way = "ahead of" if facts.clock_skew_s > 0 else "behind"
        text = f"the clock of host {host} is {span(facts.clock_skew_s)} {way} that of the database"
        yield Ill(Ailment.CLOCK, host, "", text)
    if facts.database_s > limits.database_s:
        text = f"the database takes {facts.database_s:.1f} s for a small question from host {host}"
        yield Ill(Ailment.DATABASE, host, "", text)
    for disk in facts.disks:
        percent = 100.0 * disk.free_mb / disk.total_mb if disk.total_mb else 0.0
        if disk.free_mb < limits.disk_mb or percent < limits.disk_percent:
            text = f"the disk of {disk.path} on host {host} is nearly full: {disk.free_mb} MB ({percent:.0f} %) free"
            yield Ill(Ailment.DISK, host, disk.path, text)
    for daemon in facts.failing:
        ended = f"has ended {some(daemon.restarts, 'time')}" if daemon.restarts else "refuses its configuration"
        yield Ill(Ailment.DAEMON, host, daemon.name, f"{daemon.name} on host {host} {ended}: {daemon.last_end}")
