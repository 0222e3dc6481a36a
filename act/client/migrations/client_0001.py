"""The tables of people, of the jobs that they submit, and of the files that they upload."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from act.db.schema import BigId, FileName, LongBinary, LongText

revision = "client_0001"
down_revision = None
branch_labels = ("client",)
depends_on = "core_0001"

JobName = sa.String(length=100).with_variant(
    mysql.VARCHAR(100, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", BigId, nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("subject", sa.String(length=500), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("digest", name=op.f("uq_users_digest")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "usercredentials",
        sa.Column("proxy_id", BigId, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("fqan", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(
            ["proxy_id"], ["proxies.id"], name=op.f("fk_usercredentials_proxy_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_usercredentials_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("proxy_id", name=op.f("pk_usercredentials")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_usercredentials_user_id"), "usercredentials", ["user_id"], unique=False)
    op.create_table(
        "handovers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("visitor", sa.JSON(), nullable=False),
        sa.Column("sealed_key", LongBinary, nullable=False),
        sa.Column("announced", LongText, nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("taken", sa.String(length=64), nullable=True),
        sa.Column("session", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handovers")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_handovers_expires"), "handovers", ["expires"], unique=False)
    op.create_index(op.f("ix_handovers_person_created"), "handovers", ["person", "created"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("proxy_id", BigId, nullable=False),
        sa.Column("proof", sa.JSON(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("revoked", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["proxy_id"], ["proxies.id"], name=op.f("fk_sessions_proxy_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_sessions_expires"), "sessions", ["expires"], unique=False)
    op.create_index(op.f("ix_sessions_proxy_id"), "sessions", ["proxy_id"], unique=False)
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    op.create_table(
        "clientjob_states",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_clientjob_states")),
    )
    op.create_table(
        "clientjobs",
        sa.Column("id", BigId, nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("proxy_id", BigId, nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("claimed_by", sa.String(length=100), nullable=True),
        sa.Column("claimed_until", sa.Double(), nullable=True),
        sa.Column("shown", sa.String(length=16), server_default="", nullable=False),
        sa.Column("jobname", JobName, server_default="", nullable=False),
        sa.Column("ces", sa.JSON(), nullable=False),
        sa.Column("flavour", sa.String(length=20), server_default="", nullable=False),
        sa.Column("language", sa.String(length=20), server_default="", nullable=False),
        sa.Column("description", LongText, nullable=True),
        sa.Column("spec", LongText, nullable=True),
        sa.Column("stdout", FileName, server_default="", nullable=False),
        sa.Column("stderr", FileName, server_default="", nullable=False),
        sa.Column("killed", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("cejob_id", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("batch_key", sa.String(length=64), nullable=True),
        sa.Column("batch_index", sa.Integer(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("modified", sa.Double(), nullable=False),
        sa.Column("files", sa.Integer(), server_default="0", nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["proxy_id"], ["proxies.id"], name=op.f("fk_clientjobs_proxy_id")),
        sa.ForeignKeyConstraint(["state"], ["clientjob_states.name"], name=op.f("fk_clientjobs_state")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_clientjobs_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clientjobs")),
        sa.UniqueConstraint(
            "user_id", "batch_key", "batch_index", name=op.f("uq_clientjobs_user_id_batch_key_batch_index")
        ),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_clientjobs_flavour_state_since"), "clientjobs", ["flavour", "state", "since"], unique=False
    )
    op.create_index(op.f("ix_clientjobs_proxy_id"), "clientjobs", ["proxy_id"], unique=False)
    op.create_index(op.f("ix_clientjobs_state_since"), "clientjobs", ["state", "since"], unique=False)
    op.create_index(op.f("ix_clientjobs_user_id_id"), "clientjobs", ["user_id", "id"], unique=False)
    op.create_index(op.f("ix_clientjobs_user_id_shown_id"), "clientjobs", ["user_id", "shown", "id"], unique=False)
    op.create_table(
        "clientfiles",
        sa.Column("clientjob_id", BigId, nullable=False),
        sa.Column("name", FileName, nullable=False),
        sa.Column("stored", sa.String(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["clientjob_id"], ["clientjobs.id"], name=op.f("fk_clientfiles_clientjob_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("clientjob_id", "name", name=op.f("pk_clientfiles")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "clientusage",
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("jobs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("files", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_clientusage_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_clientusage")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    op.drop_table("clientusage")
    op.drop_table("clientfiles")
    op.drop_index(op.f("ix_clientjobs_user_id_shown_id"), table_name="clientjobs")
    op.drop_index(op.f("ix_clientjobs_user_id_id"), table_name="clientjobs")
    op.drop_index(op.f("ix_clientjobs_state_since"), table_name="clientjobs")
    op.drop_index(op.f("ix_clientjobs_proxy_id"), table_name="clientjobs")
    op.drop_index(op.f("ix_clientjobs_flavour_state_since"), table_name="clientjobs")
    op.drop_table("clientjobs")
    op.drop_table("clientjob_states")
    op.drop_index(op.f("ix_sessions_user_id"), table_name="sessions")
    op.drop_index(op.f("ix_sessions_proxy_id"), table_name="sessions")
    op.drop_index(op.f("ix_sessions_expires"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_index(op.f("ix_handovers_person_created"), table_name="handovers")
    op.drop_index(op.f("ix_handovers_expires"), table_name="handovers")
    op.drop_table("handovers")
    op.drop_index(op.f("ix_usercredentials_user_id"), table_name="usercredentials")
    op.drop_table("usercredentials")
    op.drop_table("users")
