"""The database: what it is, how fast, whether it is for so many, and its clock. Pure but for the schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from act.config import CoreConfig
from act.db import migrate
from act.db.engine import Database
from act.doctor import measures
from act.doctor.check import Check, bad, good, warning
from act.doctor.facts import Facts
from act.errors import ConfigError

OLDEST = (10, 11)  # MariaDB
SLOW_S = 0.25


def schema(database: Database) -> Check:
    """Whether it is that of this release."""
    try:
        migrate.check(database)
    except ConfigError as error:
        return bad("schema", str(error), "'actctl db upgrade', with the tower stopped")
    return good("schema", "that of this release")


def connection(database: Database, facts: Facts) -> Iterator[Check]:
    """It answers: how fast, and which release it is."""
    told = f"{database.name} answered in {facts.took_s * 1000:.0f} ms"
    if facts.took_s > SLOW_S:
        yield warning("database", told, "every step of a job asks it: see to its load, and to the network to it")
    else:
        yield good("database", told)
    yield from version(database.embedded, facts.server.version)
    yield measures.clock("clock of the database", facts.ahead_s)


def version(embedded: bool, told: str) -> Iterator[Check]:
    """Of SQLite all that Python comes with are good."""
    if embedded:
        yield good("database version", f"SQLite {told}")
        return
    wanted = "the tower needs MariaDB {}.{} or newer".format(*OLDEST)
    numbers = re.search(r"(\d+)\.(\d+)[.\d]*-mariadb", told, re.IGNORECASE)
    if numbers is None:
        yield bad("database version", f"{told} is not MariaDB", wanted)
    elif (int(numbers[1]), int(numbers[2])) < OLDEST:
        yield bad("database version", told, wanted)
    else:
        yield good("database version", told)


def use(config: CoreConfig, processes: Mapping[str, int], embedded: bool, facts: Facts) -> Iterator[Check]:
    """Whether it is set up for what we do with it. processes: enabled daemon -> how many of it."""
    hosts = max(1, len(facts.hosts))
    if embedded:
        if hosts > 1:
            where = ", ".join(sorted(facts.hosts))
            yield bad("database hosts", f"daemons of {where} use one SQLite file", "only one host may; use MariaDB")
        return
    if facts.server.isolation.replace("-", " ") != "READ COMMITTED":
        told = f"connections have {facts.server.isolation}"
        yield bad("database isolation", told, "something before the server changes it (a proxy?): READ COMMITTED it is")
    wanted = connections(config, processes) * hosts
    limit = facts.server.max_connections
    if limit is not None and wanted > limit:
        told = f"max_connections is {limit}, the tower may open {wanted}"
        yield warning("database connections", told, "raise max_connections, or lower daemons/threads or processes")
    else:
        yield good("database connections", f"{limit} allowed, the tower opens {wanted} at most")


def connections(config: CoreConfig, processes: Mapping[str, int]) -> int:
    """What one host opens at most."""
    web = config.web.processes * (config.web.threads + 2) if config.users.group else 0
    return sum(processes.values()) * (config.daemons.threads + 4) + web
