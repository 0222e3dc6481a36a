"""The tables of PanDA jobs, their outputs, and what their pilots left behind."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from act.db.moves import Ledger
from act.db.schema import BigId, LongText, metadata, state_columns
from act_atlas.states import PANDAJOB

SOURCE = "panda"

pandajob_states = Table("pandajob_states", metadata, Column("name", String(16), primary_key=True))

pandajobs = Table(
    "pandajobs",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("source", String(50), nullable=False),
    Column("pandaid", BigInteger, nullable=False),
    Column("queue", String(100), nullable=False),
    Column("label", String(30), nullable=False),
    *state_columns(pandajob_states),
    Column("created", Double, nullable=False),
    Column("due", Double),  # when PanDA wants to hear of it next
    Column("told", String(20)),  # the last state PanDA took from us
    Column("told_at", Double),
    Column("sendhb", Boolean, nullable=False, server_default="1"),  # the tower speaks, not the pilot
    Column("truepilot", Boolean, nullable=False, server_default="1"),  # how its attempts were made
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("attempt_nr", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("job", LongText, nullable=False),  # as dispatched, url-encoded
    Column("metadata", JSON, nullable=False),
    Column("cejob_id", BigInteger),  # the current attempt
    Column("computing_element", String(255)),
    Column("node", String(255)),
    Column("start_time", Double),
    Column("end_time", Double),
    Column("error_code", Integer),
    Column("error_diag", Text),
    Column("exit_code", Integer),
    UniqueConstraint("source", "pandaid"),
    Index(None, "due"),
    Index(None, "state", "queue", "cores"),
    Index(None, "state", "since"),
    Index(None, "state", "id"),
    Index(None, "claimed_by"),
    sqlite_autoincrement=True,
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

# What the pilot of a job left behind, for jobs the tower speaks for: of the last attempt.
pilotreports = Table(
    "pilotreports",
    metadata,
    Column("pandajob_id", BigInteger, primary_key=True, autoincrement=False),
    Column("report", LongText),  # as `act_atlas.report.PilotReport` writes itself; None: it left none of any use
    Column("extract", Text, nullable=False, server_default=""),  # of logs, where there is no report
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

# Files that an attempt has stored, each with what is to be done about it.
outputs = Table(
    "outputs",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("pandajob_id", BigInteger, nullable=False),
    Column("lfn", String(255), nullable=False),
    Column("url", Text, nullable=False),
    Column("host", String(255), nullable=False),
    Column("size", BigInteger),
    Column("adler32", String(8), nullable=False, server_default=""),
    Column("md5", String(32), nullable=False, server_default=""),
    Column("wish", String(8)),  # check or remove; None: nothing more to do
    Column("due", Double, nullable=False),  # when its wish may be tried next
    Column("finding", String(20)),  # what came of the last wish
    Column("detail", Text),
    Index(None, "wish", "host", "due"),
    Index(None, "pandajob_id", "wish"),
    sqlite_autoincrement=True,
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

# What came of the last time that PanDA was asked for jobs of a queue.
pandaqueues = Table(
    "pandaqueues",
    metadata,
    Column("queue", String(100), primary_key=True),
    Column("asked", Double, nullable=False),
    Column("jobs", Integer, nullable=False),  # that came
    Column("error", Text),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)

LEDGER = Ledger("pandajob", PANDAJOB, pandajobs)
