"""For operators: orders, figures over time, causes of errors, hosts, calls to CEs, ends of attempts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from act.db.schema import BigId, exact

revision = "core_0003"
down_revision = "core_0002"
branch_labels = None
depends_on = None

_ENGINE: dict[str, Any] = {"sqlite_autoincrement": True, "mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    op.add_column("cejobs", sa.Column("placed", sa.Double(), nullable=True))
    op.create_table(
        "orders",
        sa.Column("id", BigId, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("queue", sa.String(100), nullable=False, server_default=""),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("value", sa.Integer(), nullable=True),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=True),
        sa.Column("who", sa.String(100), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint("kind", "name", "queue", "what", name=op.f("uq_orders_kind_name_queue_what")),
        **_ENGINE,
    )
    op.create_table(
        "series",
        sa.Column("id", BigId, nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("name", exact(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint("scope", "name", name=op.f("uq_series_scope_name")),
        **_ENGINE,
    )
    op.create_table(
        "samples",
        sa.Column("series_id", BigId, nullable=False),
        sa.Column("step_s", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=op.f("fk_samples_series_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("series_id", "step_s", "at", name=op.f("pk_samples")),
    )
    op.create_index(op.f("ix_samples_step_s_at"), "samples", ["step_s", "at"])
    op.create_table(
        "causes",
        sa.Column("id", BigId, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.Double(), nullable=False),
        sa.Column("last", sa.Double(), nullable=False),
        sa.Column("examples", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_causes")),
        sa.UniqueConstraint("kind", "fingerprint", name=op.f("uq_causes_kind_fingerprint")),
        **_ENGINE,
    )
    op.create_index(op.f("ix_causes_last"), "causes", ["last"])
    op.create_table(
        "hosts",
        sa.Column("host", sa.String(100), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_hosts")),
    )
    op.create_table(
        "cecalls",
        sa.Column("ce_id", BigId, nullable=False),
        sa.Column("host", sa.String(100), nullable=False),
        sa.Column("daemon", sa.String(100), nullable=False),
        sa.Column("call", sa.String(20), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("noted_calls", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("noted_errors", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("noted_seconds", sa.Double(), nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["ce_id"], ["ces.id"], name=op.f("fk_cecalls_ce_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ce_id", "host", "daemon", "call", name=op.f("pk_cecalls")),
    )
    op.create_table(
        "ends",
        sa.Column("id", BigId, nullable=False),
        sa.Column("cequeue_id", BigId, nullable=False),
        sa.Column("cejob_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("placed", sa.Double(), nullable=True),
        sa.Column("node", sa.String(255), nullable=False, server_default=""),
        sa.Column("good", sa.Boolean(), nullable=False),
        sa.Column("ran_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["cequeue_id"], ["cequeues.id"], name=op.f("fk_ends_cequeue_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ends")),
        **_ENGINE,
    )
    op.create_index(op.f("ix_ends_cequeue_id_id"), "ends", ["cequeue_id", "id"])


def downgrade() -> None:
    for table in ("ends", "cecalls", "hosts", "causes", "samples", "series", "orders"):
        op.drop_table(table)
    op.drop_column("cejobs", "placed")
