"""Postgres: the tables, their migrations, and the Store over them. The only place with SQL in it."""

from pipeline.adapters.postgres.migrate import migrate
from pipeline.adapters.postgres.roles import grant_roles
from pipeline.adapters.postgres.roles import statements as role_statements
from pipeline.adapters.postgres.store import PostgresStore

__all__ = ["PostgresStore", "grant_roles", "migrate", "role_statements"]
