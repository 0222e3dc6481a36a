"""What came of asking PanDA for jobs of a queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "atlas_0002"
down_revision = "atlas_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pandaqueues",
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("asked", sa.Double(), nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_pandaqueues")),
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    op.drop_table("pandaqueues")
