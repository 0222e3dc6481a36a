"""The tables of jobs that people submit, of the files that they uploaded, and of how much each person has here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql

from act.client.states import CLIENTJOB
from act.client.tables_people import users
from act.db.moves import Ledger
from act.db.schema import BigId, FileName, LongText, metadata, proxies, state_columns

APP = "client"
LONGEST_NAME = 100  # of a job
# People look for parts of names, with the case of each letter as they say it.
_JobName = String(LONGEST_NAME).with_variant(
    mysql.VARCHAR(LONGEST_NAME, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


def share_of(user_id: int) -> str:
    """The share of a user's attempts."""
    return f"user-{user_id}"


def _table(name: str, *items: Any, **options: Any) -> Table:
    return Table(name, metadata, *items, mysql_engine="InnoDB", mysql_charset="utf8mb4", **options)


clientjob_states = Table("clientjob_states", metadata, Column("name", String(16), primary_key=True))

clientjobs = _table(
    "clientjobs",
    Column("id", BigId, primary_key=True),
    Column("user_id", BigId, ForeignKey(users.c.id), nullable=False),
    Column("proxy_id", BigId, ForeignKey(proxies.c.id)),  # the credential that its next attempt acts with
    *state_columns(clientjob_states),
    Column("shown", String(16), nullable=False, server_default=""),  # the state in words of its attempt; "" while begun
    Column("jobname", _JobName, nullable=False, server_default=""),
    Column("ces", JSON, nullable=False),  # names of the CE queues that it may go to
    Column("flavour", String(20), nullable=False, server_default=""),  # of these; "" while begun
    Column("language", String(20), nullable=False, server_default=""),
    Column("description", LongText),  # as its owner wrote it; None: comes with the confirmation
    Column("spec", LongText),  # what the description says, as `act.db.specs` writes it; None while begun
    Column("stdout", FileName, nullable=False, server_default=""),
    Column("stderr", FileName, nullable=False, server_default=""),  # "" where it is joined with stdout
    Column("killed", Boolean, nullable=False, server_default="0"),  # its owner wants the end of its attempt
    Column("cejob_id", BigInteger),  # the current attempt
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("batch_key", String(64)),  # digest of what its submission was called; None: nothing
    Column("batch_index", Integer),  # its place in that submission
    Column("created", Double, nullable=False),
    Column("modified", Double, nullable=False),
    Column("files", Integer, nullable=False, server_default="0"),  # uploaded ones and results
    Column("bytes", BigInteger, nullable=False, server_default="0"),  # of these
    Column("error", Text),
    UniqueConstraint("user_id", "batch_key", "batch_index"),
    Index(None, "user_id", "id"),
    Index(None, "user_id", "shown", "id"),
    Index(None, "flavour", "state", "since"),
    Index(None, "state", "since"),
    Index(None, "proxy_id"),  # for the foreign key
    sqlite_autoincrement=True,
)

# Uploaded files. stored: the last part of their name in the store.
clientfiles = _table(
    "clientfiles",
    Column("clientjob_id", BigId, ForeignKey(clientjobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("name", FileName, primary_key=True),
    Column("stored", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
)

# What is counted against quotas: always the sums over the user's jobs. Who changes these locks the row first.
clientusage = _table(
    "clientusage",
    Column("user_id", BigId, ForeignKey(users.c.id), primary_key=True),
    Column("jobs", Integer, nullable=False, server_default="0"),
    Column("files", BigInteger, nullable=False, server_default="0"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
)

LEDGER = Ledger("clientjob", CLIENTJOB, clientjobs)
