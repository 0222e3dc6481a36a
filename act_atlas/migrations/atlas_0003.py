"""The cores of jobs are counted with the jobs, from the same index."""

from __future__ import annotations

from alembic import op

revision = "atlas_0003"
down_revision = "atlas_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_pandajobs_state_queue_cores"), "pandajobs", ["state", "queue", "cores"], unique=False)
    op.drop_index(op.f("ix_pandajobs_state_queue"), table_name="pandajobs")


def downgrade() -> None:
    op.create_index(op.f("ix_pandajobs_state_queue"), "pandajobs", ["state", "queue"], unique=False)
    op.drop_index(op.f("ix_pandajobs_state_queue_cores"), table_name="pandajobs")
