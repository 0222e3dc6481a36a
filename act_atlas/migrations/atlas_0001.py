"""The tables of PanDA jobs and their outputs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from act.db.schema import BigId, LongText

revision = "atlas_0001"
down_revision = None
branch_labels = ("atlas",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outputs",
        sa.Column("id", BigId, nullable=False),
        sa.Column("pandajob_id", sa.BigInteger(), nullable=False),
        sa.Column("lfn", sa.String(length=255), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("adler32", sa.String(length=8), server_default="", nullable=False),
        sa.Column("md5", sa.String(length=32), server_default="", nullable=False),
        sa.Column("wish", sa.String(length=8), nullable=True),
        sa.Column("due", sa.Double(), nullable=False),
        sa.Column("finding", sa.String(length=20), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outputs")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_outputs_pandajob_id_wish"), "outputs", ["pandajob_id", "wish"], unique=False)
    op.create_index(op.f("ix_outputs_wish_host_due"), "outputs", ["wish", "host", "due"], unique=False)
    op.create_table(
        "pandajob_states",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pandajob_states")),
    )
    op.create_table(
        "pilotreports",
        sa.Column("pandajob_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("report", LongText, nullable=True),
        sa.Column("extract", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("pandajob_id", name=op.f("pk_pilotreports")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "pandajobs",
        sa.Column("id", BigId, nullable=False),
        sa.Column("source", sa.String(length=50), nullable=False),
        sa.Column("pandaid", sa.BigInteger(), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("label", sa.String(length=30), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("claimed_by", sa.String(length=100), nullable=True),
        sa.Column("claimed_until", sa.Double(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("due", sa.Double(), nullable=True),
        sa.Column("told", sa.String(length=20), nullable=True),
        sa.Column("told_at", sa.Double(), nullable=True),
        sa.Column("sendhb", sa.Boolean(), server_default="1", nullable=False),
        sa.Column("truepilot", sa.Boolean(), server_default="1", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempt_nr", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("cores", sa.Integer(), nullable=False),
        sa.Column("job", LongText, nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("cejob_id", sa.BigInteger(), nullable=True),
        sa.Column("computing_element", sa.String(length=255), nullable=True),
        sa.Column("node", sa.String(length=255), nullable=True),
        sa.Column("start_time", sa.Double(), nullable=True),
        sa.Column("end_time", sa.Double(), nullable=True),
        sa.Column("error_code", sa.Integer(), nullable=True),
        sa.Column("error_diag", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["state"], ["pandajob_states.name"], name=op.f("fk_pandajobs_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pandajobs")),
        sa.UniqueConstraint("source", "pandaid", name=op.f("uq_pandajobs_source_pandaid")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_pandajobs_claimed_by"), "pandajobs", ["claimed_by"], unique=False)
    op.create_index(op.f("ix_pandajobs_due"), "pandajobs", ["due"], unique=False)
    op.create_index(op.f("ix_pandajobs_state_id"), "pandajobs", ["state", "id"], unique=False)
    op.create_index(op.f("ix_pandajobs_state_queue"), "pandajobs", ["state", "queue"], unique=False)
    op.create_index(op.f("ix_pandajobs_state_since"), "pandajobs", ["state", "since"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_pandajobs_state_since"), table_name="pandajobs")
    op.drop_index(op.f("ix_pandajobs_state_queue"), table_name="pandajobs")
    op.drop_index(op.f("ix_pandajobs_state_id"), table_name="pandajobs")
    op.drop_index(op.f("ix_pandajobs_due"), table_name="pandajobs")
    op.drop_index(op.f("ix_pandajobs_claimed_by"), table_name="pandajobs")
    op.drop_table("pandajobs")
    op.drop_table("pilotreports")
    op.drop_table("pandajob_states")
    op.drop_index(op.f("ix_outputs_wish_host_due"), table_name="outputs")
    op.drop_index(op.f("ix_outputs_pandajob_id_wish"), table_name="outputs")
    op.drop_table("outputs")
