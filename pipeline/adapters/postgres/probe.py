"""What a check-up asks of Postgres."""

from dataclasses import dataclass
from importlib.resources import files

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from pipeline.adapters.postgres.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """What the server says of itself and of our tables."""

    version: str
    major: int
    revision: str | None
    """Of the tables; None where there are none."""
    newest: str
    """Revision that this release brings."""
    knows_revision: bool
    """False: the tables were made by a newer release."""


def database_facts(url: str) -> DatabaseFacts:
    """Ask the server, changing nothing; raises StoreUnavailable, or ConfigError for a URL that is none of Postgres."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    scripts = ScriptDirectory.from_config(config)
    database = Database(url, pool_size=1)
    try:
        with database.begin() as connection:
            version = str(connection.execute(sa.text("SHOW server_version")).scalar_one())
            number = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
            revision = MigrationContext.configure(connection).get_current_revision()
    finally:
        database.close()
    return DatabaseFacts(
        version=version.split(maxsplit=1)[0],
        major=number // 10_000,
        revision=revision,
        newest=scripts.get_current_head() or "",
        knows_revision=revision is None or _knows(scripts, revision),
    )


def _knows(scripts: ScriptDirectory, revision: str) -> bool:
    try:
        return scripts.get_revision(revision) is not None
    except CommandError:
        return False
