"""Replaying the migrations equals the model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pipeline.adapters.embedded import open_home, start_services
from pipeline.adapters.postgres import PostgresStore, migrate
from pipeline.adapters.postgres.tables import metadata
from pipeline.domain.errors import ConfigError


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home: Path = tmp_path_factory.mktemp("migrations") / "home"
    with start_services(open_home(home)) as services:
        yield services.database_url


def test_tables_that_were_never_made_are_a_clear_error(database_url: str) -> None:
    store = PostgresStore(database_url)
    with pytest.raises(ConfigError, match="headrace migrate"):
        store.list_runs()
    store.close()


def test_replaying_the_migrations_gives_the_tables_of_the_model_and_twice_changes_nothing(database_url: str) -> None:
    migrate(database_url)
    migrate(database_url)
    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": False})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_ledger_cannot_be_changed_or_shortened(database_url: str) -> None:
    migrate(database_url)
    engine = sa.create_engine(database_url)
    for statement in ("UPDATE ledger SET seconds = 0", "DELETE FROM ledger"):
        with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="append-only"):
            connection.execute(sa.text(statement))
    engine.dispose()
