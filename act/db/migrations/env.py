"""Alembic's entry: migrates over the connection that `act.db.migrate` hands in."""

from __future__ import annotations

from alembic import context

from act.db import schema_operating  # noqa: F401 - its tables belong to the metadata
from act.db.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, compare_type=True, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
