"""What each host of the tower last said of itself: its clock, the database as seen from there, its disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from act.db.engine import AnyRow, now
from act.db.schema import daemons
from act.db.schema_operating import hosts


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that the tower writes to. path: one of the tower's directories on it."""

    path: str
    free_mb: int
    total_mb: int


@dataclass(frozen=True, slots=True)
class Failing:
    """A daemon that its master cannot keep running. restarts: 0, it refuses its configuration; last_end: in words."""

    name: str
    restarts: int
    last_end: str


@dataclass(frozen=True, slots=True)
class Host:
    """The facts of one host. started: of its report daemon. clock_skew_s: its clock minus the database's.
    database_s: what a small question to the database took, or writing the facts before these. load: of one minute, by
    CPU.
    """

    version: str
    started: float
    clock_skew_s: float
    database_s: float
    disks: tuple[Disk, ...]
    load: float
    failing: tuple[Failing, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A host with its facts, when it told them (`at`, by the database's clock) and how long ago that was."""

    host: str
    at: float
    age_s: float
    facts: Host


def write(connection: Connection, host: str, facts: Host) -> None:
    """A host's facts take the place of those it told before."""
    values: dict[str, Any] = {"at": now(), "facts": asdict(facts)}
    if connection.execute(update(hosts).where(hosts.c.host == host).values(**values)).rowcount == 0:
        connection.execute(insert(hosts).values(host=host, **values))


def all_of(connection: Connection) -> list[Seen]:
    """All hosts, in order of their names."""
    rows: Sequence[AnyRow] = connection.execute(
        select(hosts, (now() - hosts.c.at).label("age_s")).order_by(hosts.c.host)
    ).all()
    return [Seen(r.host, r.at, r.age_s, _host(r.facts)) for r in rows]


def forget(connection: Connection, silent_s: float) -> None:
    """Hosts and daemons that said nothing for so long are no part of the tower any more."""
    connection.execute(delete(hosts).where(hosts.c.at < now() - silent_s))
    connection.execute(delete(daemons).where(daemons.c.beat < now() - silent_s))


def _host(facts: Mapping[str, Any]) -> Host:
    disks, failing = (Disk(**d) for d in facts["disks"]), (Failing(**f) for f in facts.get("failing", ()))
    return Host(**{**facts, "disks": tuple(disks), "failing": tuple(failing)})
