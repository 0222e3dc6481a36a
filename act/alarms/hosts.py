"""Hosts whose clock, disks, way to the database or daemons are not as they should be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from act.alarms.alarm import Alarm, Severity
from act.config import Alarms
from act.db.hosts import Seen
from act.explain.hosts import Ailment, Ill, ills


def of_hosts(seen: Iterable[Seen], limits: Alarms) -> Iterator[Alarm]:
    """Of all hosts that still speak."""
    for host in seen:
        yield from map(_alarm, ills(host, limits))


def _alarm(ill: Ill) -> Alarm:
    match ill.ailment:
        case Ailment.CLOCK:
            todo = "set the clocks right (chrony, ntpd), the database server's too: credentials and deadlines need them"
            return Alarm("clock_wrong", Severity.CRITICAL, ill.host, ill.text, todo)
        case Ailment.DATABASE:
            todo = "see to the load and the disk of the database server, and to the network to it"
            return Alarm("database_slow", Severity.CRITICAL, ill.host, ill.text, todo)
        case Ailment.DISK:
            todo = "make room there: what cannot be written down cannot be fetched, and no job comes in"
            return Alarm("disk_full", Severity.CRITICAL, f"{ill.host}:{ill.where}", ill.text, todo)
        case Ailment.DAEMON:
            todo = f"'actctl daemon {ill.where} --once' on {ill.host} tells more, and so does 'journalctl -u act' there"
            return Alarm("daemon_failing", Severity.CRITICAL, f"{ill.where}@{ill.host}", ill.text, todo)
