"""Postgres: the tables, their migrations, and the Store over them. The only place with SQL in it."""

from pipeline.adapters.postgres.migrate import migrate
from pipeline.adapters.postgres.store import PostgresStore

__all__ = ["PostgresStore", "migrate"]
