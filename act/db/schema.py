"""The tables of the core. Times are seconds since the epoch (UTC, double); ids are never re-used.

Plugins add their own tables to the same `metadata` from their ``db.py``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in INTEGER columns
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
LongBinary = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def exact(length: int) -> String:
    """Names that differ in anything are different names, as they are to file systems."""
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin")
    return String(length).with_variant(binary, "mysql", "mariadb")


FileName = exact(500)


def table(name: str, *items: Any) -> Table:
    """A table whose rows are numbered."""
    return Table(name, metadata, *items, sqlite_autoincrement=True, mysql_engine="InnoDB", mysql_charset="utf8mb4")


def state_columns(states: Table) -> tuple[Column[Any], ...]:
    """What every table with a state machine has: state, versions, claim."""
    return (
        Column("state", String(16), ForeignKey(states.c.name), nullable=False),
        Column("since", Double, nullable=False),  # of the state
        Column("version", Integer, nullable=False, server_default="1"),
        Column("claimed_by", String(100)),
        Column("claimed_until", Double),
    )


meta = Table("meta", metadata, Column("name", String(50), primary_key=True), Column("value", Text, nullable=False))

cejob_states = Table("cejob_states", metadata, Column("name", String(16), primary_key=True))

ces = table(
    "ces",
    Column("id", BigId, primary_key=True),
    Column("flavour", String(20), nullable=False),
    Column("url", String(255), nullable=False),
    Column("submit_point", String(255), nullable=False, server_default=""),
    Column("status", String(20), nullable=False, server_default="online"),
    UniqueConstraint("url", "submit_point", "flavour"),
)

breakers = Table(
    "breakers",
    metadata,
    Column("ce_id", BigId, ForeignKey(ces.c.id, ondelete="CASCADE"), primary_key=True),
    Column("host", String(100), primary_key=True),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("open_until", Double),
    Column("last_good", Double),
    Column("last_error", Text),
    Column("last_error_at", Double),
)

cequeues = table(
    "cequeues",
    Column("id", BigId, primary_key=True),
    Column("ce_id", BigId, ForeignKey(ces.c.id), nullable=False),
    Column("queue", String(100), nullable=False),
    Column("status", String(20), nullable=False, server_default="online"),
    Column("max_jobs", Integer),
    Column("max_waiting", Integer),
    Column("full_until", Double),  # the CE said it takes no more
    UniqueConstraint("ce_id", "queue"),
)

proxies = table(
    "proxies",
    Column("id", BigId, primary_key=True),
    Column("role", String(100), nullable=False),
    Column("identity", String(255), nullable=False),
    Column("pem", LongBinary, nullable=False),  # sealed
    Column("issued", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("fqans", Text, nullable=False),  # VOMS attributes, one a line
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("error", Text),
    UniqueConstraint("role"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("ce_url", String(255), primary_key=True),
    Column("identity", String(255), nullable=False),
    Column("token", LongBinary, nullable=False),  # sealed
    Column("issued", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("error", Text),
)

lanes = Table(
    "lanes",
    metadata,
    Column("ce_id", BigId, ForeignKey(ces.c.id), primary_key=True),
    Column("proxy_id", BigId, ForeignKey(proxies.c.id), primary_key=True),
    Column("polled", Double),  # last complete pass over all its jobs
    Column("heard", Double),  # since when it has been polled without a long silence
    Column("swept", Double),  # last look for orphans
    Column("claimed_by", String(100)),
    Column("claimed_until", Double),
    Column("error", Text),
    Column("paused_until", Double),
)

delegations = table(
    "delegations",
    Column("id", BigId, primary_key=True),
    Column("ce_id", BigId, ForeignKey(ces.c.id), nullable=False),
    Column("proxy_id", BigId, ForeignKey(proxies.c.id), nullable=False),
    Column("remote_id", String(255), nullable=False),
    Column("state", String(16), nullable=False, server_default="live"),
    Column("generation", Integer, nullable=False),  # of the proxy it was signed with
    Column("used", Double, nullable=False),
    UniqueConstraint("ce_id", "proxy_id"),
)

jobspecs = table("jobspecs", Column("id", BigId, primary_key=True), Column("spec", LongText, nullable=False))

cejobs = table(
    "cejobs",
    Column("id", BigId, primary_key=True),
    Column("app", String(20), nullable=False),
    Column("appjob_id", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("flavour", String(20), nullable=False),
    Column("share", String(100), nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("proxy_id", BigId, ForeignKey(proxies.c.id), nullable=False),
    Column("jobspec_id", BigId, ForeignKey(jobspecs.c.id), nullable=False),
    *state_columns(cejob_states),
    Column("seen_version", Integer, nullable=False, server_default="0"),
    Column("unseen", Boolean, Computed("version <> seen_version", persisted=True)),
    Column("wish", String(16)),
    Column("created", Double, nullable=False),
    Column("ce_id", BigId, ForeignKey(ces.c.id)),
    Column("cequeue_id", BigId, ForeignKey(cequeues.c.id)),
    Column("delegation_id", BigId, ForeignKey(delegations.c.id, ondelete="SET NULL")),
    Column("submission", Integer, nullable=False, server_default="0"),
    Column("token", String(100)),
    Column("doubts", Integer, nullable=False, server_default="0"),
    Column("ce_job_id", String(255)),
    Column("ce_state", String(50)),
    Column("missing_at", Double),  # first complete answer without it
    Column("reruns", Integer, nullable=False, server_default="0"),  # left
    Column("restarted", Double),  # when the CE last took a restart
    Column("exit_code", Integer),
    Column("error", Text),
    Column("node", String(255)),
    Column("wall_s", BigInteger),
    Column("cpu_s", BigInteger),
    Column("memory_mb", Integer),
    Column("placed", Double),  # when it was given to its CE queue
    Index(None, "state", "ce_id", "proxy_id", "id"),
    Index(None, "app", "unseen", "id"),
    Index(None, "cequeue_id", "state"),
    Index(None, "state", "since"),
    Index(None, "state", "claimed_until"),
    Index(None, "claimed_by"),
    Index(None, "app", "appjob_id"),
    Index(None, "ce_id", "ce_job_id"),
    Index(None, "delegation_id", "state"),
    Index(None, "jobspec_id"),  # for the foreign key: specifications are deleted
)

candidates = Table(
    "candidates",
    metadata,
    Column("cejob_id", BigId, ForeignKey(cejobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("cequeue_id", BigId, ForeignKey(cequeues.c.id), primary_key=True),
    Column("open", Boolean, nullable=False),  # the attempt waits for a CE and this one has not refused it
    Column("proxy_id", BigId, nullable=False),
    Column("share", String(100), nullable=False),
    Column("rank", Integer, nullable=False),  # -priority, so that the index is read upwards only
    Column("refused", Boolean, nullable=False, server_default="0"),
    Index(None, "open", "cequeue_id", "proxy_id", "share", "rank", "cejob_id"),
)

results = Table(
    "results",
    metadata,
    Column("cejob_id", BigId, ForeignKey(cejobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("name", FileName, primary_key=True),
    Column("size", BigInteger, nullable=False),  # bytes
    Column("sha256", String(64), nullable=False),
)

watches = Table(
    "watches",
    metadata,
    Column("cejob_id", BigId, ForeignKey(cejobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("name", FileName, primary_key=True),
    Column("until", Double, nullable=False),  # somebody looks
    Column("due", Double, nullable=False),  # to be brought again
    Column("size", BigInteger),  # bytes of the copy, none if there is none yet
    Column("brought", Double),
)

events = table(
    "events",
    Column("id", BigId, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("job_id", BigInteger, nullable=False),
    Column("source", String(16), nullable=False),
    Column("event", String(16), nullable=False),
    Column("target", String(16), nullable=False),
    Column("at", Double, nullable=False),
    Column("who", String(100), nullable=False),
    Column("why", Text, nullable=False),
    Index(None, "kind", "job_id", "id"),
)

daemons = Table(
    "daemons",
    metadata,
    Column("host", String(100), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("started", Double, nullable=False),
    Column("beat", Double, nullable=False),
    Column("passes", BigInteger, nullable=False),
    Column("moved", BigInteger, nullable=False),
    Column("statements", BigInteger, nullable=False),
    Column("error", Text),
    Column("error_at", Double),
)

archive = table(
    "archive",
    Column("id", BigId, primary_key=True),
    Column("source", String(100), nullable=False),
    Column("external_id", String(100), nullable=False),
    Column("queue", String(100), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Double, nullable=False),
    Column("ended", Double, nullable=False),
    Column("history", JSON, nullable=False),
    UniqueConstraint("source", "external_id"),
    Index(None, "ended"),
)
