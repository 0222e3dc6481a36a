"""Files of jobs: those that were brought back, and those of running jobs that somebody looks at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from act.db.schema import BigId, FileName

revision = "core_0002"
down_revision = "core_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "results",
        sa.Column("cejob_id", BigId, nullable=False),
        sa.Column("name", FileName, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["cejob_id"], ["cejobs.id"], name=op.f("fk_results_cejob_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("cejob_id", "name", name=op.f("pk_results")),
    )
    op.create_table(
        "watches",
        sa.Column("cejob_id", BigId, nullable=False),
        sa.Column("name", FileName, nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("brought", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["cejob_id"], ["cejobs.id"], name=op.f("fk_watches_cejob_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("cejob_id", "name", name=op.f("pk_watches")),
    )


def downgrade() -> None:
    op.drop_table("watches")
    op.drop_table("results")
