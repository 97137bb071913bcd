"""Alembic's entry: runs inside the connection and transaction that `pipeline.adapters.postgres.migrate` opened."""

from alembic import context

from pipeline.adapters.postgres.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
