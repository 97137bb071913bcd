"""Bring the tables to this release's shape. Several processes may try at once: one does it, the others wait."""

from importlib.resources import files

import sqlalchemy as sa

from pipeline.adapters.postgres.database import Database

_LOCK = 4_841_701  # any number, the same in every process


def migrate(url: str) -> None:
    """Run all migrations that the database has not seen; raises StoreUnavailable."""
    database = Database(url, pool_size=1)
    try:
        with database.begin() as connection:
            if _is_current(connection):
                return
        # Half a second to import, and seldom needed.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415

        with database.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config = Config()
            config.set_main_option("script_location", str(files("migrations")))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        database.close()


def _is_current(connection: sa.Connection) -> bool:
    newest = max(file.name[:4] for file in (files("migrations") / "versions").iterdir() if file.name[:4].isdigit())
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    return bool(connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == newest)
