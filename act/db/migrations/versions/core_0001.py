"""The tables of the core."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from act.db.schema import BigId, LongBinary, LongText

revision = "core_0001"
down_revision = None
branch_labels = ("core",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "archive",
        sa.Column("id", BigId, nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("external_id", sa.String(length=100), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=False),
        sa.Column("history", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_archive_source_external_id")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_archive_ended"), "archive", ["ended"], unique=False)
    op.create_table(
        "cejob_states",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cejob_states")),
    )
    op.create_table(
        "ces",
        sa.Column("id", BigId, nullable=False),
        sa.Column("flavour", sa.String(length=20), nullable=False),
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("submit_point", sa.String(length=255), server_default="", nullable=False),
        sa.Column("status", sa.String(length=20), server_default="online", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ces")),
        sa.UniqueConstraint("url", "submit_point", "flavour", name=op.f("uq_ces_url_submit_point_flavour")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "daemons",
        sa.Column("host", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("beat", sa.Double(), nullable=False),
        sa.Column("passes", sa.BigInteger(), nullable=False),
        sa.Column("moved", sa.BigInteger(), nullable=False),
        sa.Column("statements", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("host", "name", name=op.f("pk_daemons")),
    )
    op.create_table(
        "events",
        sa.Column("id", BigId, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("target", sa.String(length=16), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_kind_job_id_id"), "events", ["kind", "job_id", "id"], unique=False)
    op.create_table(
        "jobspecs",
        sa.Column("id", BigId, nullable=False),
        sa.Column("spec", LongText, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobspecs")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "proxies",
        sa.Column("id", BigId, nullable=False),
        sa.Column("role", sa.String(length=100), nullable=False),
        sa.Column("identity", sa.String(length=255), nullable=False),
        sa.Column("pem", LongBinary, nullable=False),
        sa.Column("issued", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("fqans", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proxies")),
        sa.UniqueConstraint("role", name=op.f("uq_proxies_role")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tokens",
        sa.Column("ce_url", sa.String(length=255), nullable=False),
        sa.Column("identity", sa.String(length=255), nullable=False),
        sa.Column("token", LongBinary, nullable=False),
        sa.Column("issued", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("ce_url", name=op.f("pk_tokens")),
    )
    op.create_table(
        "breakers",
        sa.Column("ce_id", BigId, nullable=False),
        sa.Column("host", sa.String(length=100), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("open_until", sa.Double(), nullable=True),
        sa.Column("last_good", sa.Double(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["ce_id"], ["ces.id"], name=op.f("fk_breakers_ce_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ce_id", "host", name=op.f("pk_breakers")),
    )
    op.create_table(
        "cequeues",
        sa.Column("id", BigId, nullable=False),
        sa.Column("ce_id", BigId, nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=20), server_default="online", nullable=False),
        sa.Column("max_jobs", sa.Integer(), nullable=True),
        sa.Column("max_waiting", sa.Integer(), nullable=True),
        sa.Column("full_until", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["ce_id"], ["ces.id"], name=op.f("fk_cequeues_ce_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cequeues")),
        sa.UniqueConstraint("ce_id", "queue", name=op.f("uq_cequeues_ce_id_queue")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "delegations",
        sa.Column("id", BigId, nullable=False),
        sa.Column("ce_id", BigId, nullable=False),
        sa.Column("proxy_id", BigId, nullable=False),
        sa.Column("remote_id", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="live", nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("used", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["ce_id"], ["ces.id"], name=op.f("fk_delegations_ce_id")),
        sa.ForeignKeyConstraint(["proxy_id"], ["proxies.id"], name=op.f("fk_delegations_proxy_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delegations")),
        sa.UniqueConstraint("ce_id", "proxy_id", name=op.f("uq_delegations_ce_id_proxy_id")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "lanes",
        sa.Column("ce_id", BigId, nullable=False),
        sa.Column("proxy_id", BigId, nullable=False),
        sa.Column("polled", sa.Double(), nullable=True),
        sa.Column("heard", sa.Double(), nullable=True),
        sa.Column("swept", sa.Double(), nullable=True),
        sa.Column("claimed_by", sa.String(length=100), nullable=True),
        sa.Column("claimed_until", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("paused_until", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["ce_id"], ["ces.id"], name=op.f("fk_lanes_ce_id")),
        sa.ForeignKeyConstraint(["proxy_id"], ["proxies.id"], name=op.f("fk_lanes_proxy_id")),
        sa.PrimaryKeyConstraint("ce_id", "proxy_id", name=op.f("pk_lanes")),
    )
    op.create_table(
        "cejobs",
        sa.Column("id", BigId, nullable=False),
        sa.Column("app", sa.String(length=20), nullable=False),
        sa.Column("appjob_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("flavour", sa.String(length=20), nullable=False),
        sa.Column("share", sa.String(length=100), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("proxy_id", BigId, nullable=False),
        sa.Column("jobspec_id", BigId, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("claimed_by", sa.String(length=100), nullable=True),
        sa.Column("claimed_until", sa.Double(), nullable=True),
        sa.Column("seen_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unseen", sa.Boolean(), sa.Computed("version <> seen_version", persisted=True), nullable=True),
        sa.Column("wish", sa.String(length=16), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("ce_id", BigId, nullable=True),
        sa.Column("cequeue_id", BigId, nullable=True),
        sa.Column("delegation_id", BigId, nullable=True),
        sa.Column("submission", sa.Integer(), server_default="0", nullable=False),
        sa.Column("token", sa.String(length=100), nullable=True),
        sa.Column("doubts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ce_job_id", sa.String(length=255), nullable=True),
        sa.Column("ce_state", sa.String(length=50), nullable=True),
        sa.Column("missing_at", sa.Double(), nullable=True),
        sa.Column("reruns", sa.Integer(), server_default="0", nullable=False),
        sa.Column("restarted", sa.Double(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("node", sa.String(length=255), nullable=True),
        sa.Column("wall_s", sa.BigInteger(), nullable=True),
        sa.Column("cpu_s", sa.BigInteger(), nullable=True),
        sa.Column("memory_mb", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["ce_id"], ["ces.id"], name=op.f("fk_cejobs_ce_id")),
        sa.ForeignKeyConstraint(["cequeue_id"], ["cequeues.id"], name=op.f("fk_cejobs_cequeue_id")),
        sa.ForeignKeyConstraint(
            ["delegation_id"], ["delegations.id"], name=op.f("fk_cejobs_delegation_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["jobspec_id"], ["jobspecs.id"], name=op.f("fk_cejobs_jobspec_id")),
        sa.ForeignKeyConstraint(["proxy_id"], ["proxies.id"], name=op.f("fk_cejobs_proxy_id")),
        sa.ForeignKeyConstraint(["state"], ["cejob_states.name"], name=op.f("fk_cejobs_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cejobs")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_cejobs_app_appjob_id"), "cejobs", ["app", "appjob_id"], unique=False)
    op.create_index(op.f("ix_cejobs_app_unseen_id"), "cejobs", ["app", "unseen", "id"], unique=False)
    op.create_index(op.f("ix_cejobs_ce_id_ce_job_id"), "cejobs", ["ce_id", "ce_job_id"], unique=False)
    op.create_index(op.f("ix_cejobs_cequeue_id_state"), "cejobs", ["cequeue_id", "state"], unique=False)
    op.create_index(op.f("ix_cejobs_claimed_by"), "cejobs", ["claimed_by"], unique=False)
    op.create_index(op.f("ix_cejobs_delegation_id_state"), "cejobs", ["delegation_id", "state"], unique=False)
    op.create_index(op.f("ix_cejobs_jobspec_id"), "cejobs", ["jobspec_id"], unique=False)
    op.create_index(
        op.f("ix_cejobs_state_ce_id_proxy_id_id"), "cejobs", ["state", "ce_id", "proxy_id", "id"], unique=False
    )
    op.create_index(op.f("ix_cejobs_state_claimed_until"), "cejobs", ["state", "claimed_until"], unique=False)
    op.create_index(op.f("ix_cejobs_state_since"), "cejobs", ["state", "since"], unique=False)
    op.create_table(
        "candidates",
        sa.Column("cejob_id", BigId, nullable=False),
        sa.Column("cequeue_id", BigId, nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("proxy_id", BigId, nullable=False),
        sa.Column("share", sa.String(length=100), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Boolean(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["cejob_id"], ["cejobs.id"], name=op.f("fk_candidates_cejob_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["cequeue_id"], ["cequeues.id"], name=op.f("fk_candidates_cequeue_id")),
        sa.PrimaryKeyConstraint("cejob_id", "cequeue_id", name=op.f("pk_candidates")),
    )
    op.create_index(
        op.f("ix_candidates_open_cequeue_id_proxy_id_share_rank_cejob_id"),
        "candidates",
        ["open", "cequeue_id", "proxy_id", "share", "rank", "cejob_id"],
        unique=False,
    )
    for view, flavour in (("arcjobs", "arc"), ("condorjobs", "condor")):  # names that operators know
        op.execute(f"CREATE VIEW {view} AS SELECT * FROM cejobs WHERE flavour = '{flavour}'")


def downgrade() -> None:
    for view in ("arcjobs", "condorjobs"):
        op.execute(f"DROP VIEW {view}")
    op.drop_index(op.f("ix_candidates_open_cequeue_id_proxy_id_share_rank_cejob_id"), table_name="candidates")
    op.drop_table("candidates")
    op.drop_index(op.f("ix_cejobs_state_since"), table_name="cejobs")
    op.drop_index(op.f("ix_cejobs_state_claimed_until"), table_name="cejobs")
    op.drop_index(op.f("ix_cejobs_state_ce_id_proxy_id_id"), table_name="cejobs")
    op.drop_index(op.f("ix_cejobs_jobspec_id"), table_name="cejobs")
    op.drop_index(op.f("ix_cejobs_delegation_id_state"), table_name="cejobs")
    op.drop_index(op.f("ix_cejobs_claimed_by"), table_name="cejobs")
    op.drop_index(op.f("ix_cejobs_cequeue_id_state"), table_name="cejobs")
    op.drop_index(op.f("ix_cejobs_ce_id_ce_job_id"), table_name="cejobs")
    op.drop_index(op.f("ix_cejobs_app_unseen_id"), table_name="cejobs")
    op.drop_index(op.f("ix_cejobs_app_appjob_id"), table_name="cejobs")
    op.drop_table("cejobs")
    op.drop_table("lanes")
    op.drop_table("delegations")
    op.drop_table("cequeues")
    op.drop_table("breakers")
    op.drop_table("tokens")
    op.drop_table("proxies")
    op.drop_table("meta")
    op.drop_table("jobspecs")
    op.drop_index(op.f("ix_events_kind_job_id_id"), table_name="events")
    op.drop_table("events")
    op.drop_table("daemons")
    op.drop_table("ces")
    op.drop_table("cejob_states")
    op.drop_index(op.f("ix_archive_ended"), table_name="archive")
    op.drop_table("archive")
