"""The tables behind what operators see and order. Times as in `act.db.schema`."""

from __future__ import annotations

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

from act.db.schema import BigId, cequeues, ces, exact, metadata, table

# What operators, or the guard, have ordered at run time; it wins over the configuration until its end. name: the URL of
# a CE, the name of a queue or of a share; queue: of a CE queue, the name it has at its CE.
orders = table(
    "orders",
    Column("id", BigId, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("queue", String(100), nullable=False, server_default=""),
    Column("what", String(16), nullable=False),
    Column("value", Integer),
    Column("since", Double, nullable=False),
    Column("until", Double),
    Column("who", String(100), nullable=False),
    Column("why", Text, nullable=False),
    UniqueConstraint("kind", "name", "queue", "what"),
)

# Figures over time: of each series one row of values (name -> number) for each step of time.
series = table(
    "series",
    Column("id", BigId, primary_key=True),
    Column("scope", String(16), nullable=False),
    Column("name", exact(255), nullable=False),
    UniqueConstraint("scope", "name"),
)

samples = Table(
    "samples",
    metadata,
    Column("series_id", BigId, ForeignKey(series.c.id, ondelete="CASCADE"), primary_key=True),
    Column("step_s", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, primary_key=True, autoincrement=False),  # its begin, seconds since the epoch
    Column("figures", JSON, nullable=False),
    Index(None, "step_s", "at"),
)

# Errors that are the same but for numbers and names, counted.
causes = table(
    "causes",
    Column("id", BigId, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("text", Text, nullable=False),  # of the last one
    Column("count", BigInteger, nullable=False),
    Column("first", Double, nullable=False),
    Column("last", Double, nullable=False),
    Column("examples", JSON, nullable=False),
    UniqueConstraint("kind", "fingerprint"),
    Index(None, "last"),
)

# What each host of the tower last said of itself.
hosts = Table(
    "hosts",
    metadata,
    Column("host", String(100), primary_key=True),
    Column("at", Double, nullable=False),
    Column("facts", JSON, nullable=False),
)

# What the processes had to do with the CEs, counted since each was first started. noted: as much of it is in figures.
cecalls = Table(
    "cecalls",
    metadata,
    Column("ce_id", BigId, ForeignKey(ces.c.id, ondelete="CASCADE"), primary_key=True),
    Column("host", String(100), primary_key=True),
    Column("daemon", String(100), primary_key=True),
    Column("call", String(20), primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("noted_calls", BigInteger, nullable=False, server_default="0"),
    Column("noted_errors", BigInteger, nullable=False, server_default="0"),
    Column("noted_seconds", Double, nullable=False, server_default="0"),
)

# How the latest attempts at each CE queue ended.
ends = table(
    "ends",
    Column("id", BigId, primary_key=True),
    Column("cequeue_id", BigId, ForeignKey(cequeues.c.id, ondelete="CASCADE"), nullable=False),
    Column("cejob_id", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("placed", Double),  # of the attempt, see there
    Column("node", String(255), nullable=False, server_default=""),
    Column("good", Boolean, nullable=False),
    Column("ran_s", Double),  # None: not known
    Index(None, "cequeue_id", "id"),
)
