"""Every store test runs on the in-memory twin and on Postgres, every queue test on the twin and on Redis."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pipeline.adapters.embedded import Services, open_home, start_services
from pipeline.adapters.memory import FakeClock, MemoryStore
from pipeline.adapters.postgres import PostgresStore, migrate
from pipeline.ports.store import Store
from tests.contract.store_cases import Rig


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    home: Path = tmp_path_factory.mktemp("services") / "home"
    with start_services(open_home(home)) as running:
        with psycopg.connect(plain(running.database_url), autocommit=True) as connection:
            # Nobody cuts the power of a test: its many small transactions need not wait for the disk.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET synchronous_commit = off")
            connection.execute("SELECT pg_reload_conf()")
        yield running


def plain(url: str) -> str:
    """Return SQLAlchemy's address of a database as psycopg knows it."""
    return url.replace("postgresql+psycopg:", "postgresql:")


@pytest.fixture(scope="session")
def database_url(services: Services) -> str:
    migrate(services.database_url)
    return services.database_url


@pytest.fixture(scope="session")
def eraser(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # foreign keys do not matter when all goes
        yield connection


@pytest.fixture
def emptied_database_url(database_url: str, eraser: psycopg.Connection[tuple[object, ...]]) -> str:
    # DELETE, not TRUNCATE: for a few rows it is ten times faster.
    names = eraser.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    ).fetchall()
    eraser.execute(sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(sql.Identifier(str(name))) for (name,) in names))
    return database_url


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    opened: Store = (
        MemoryStore(FakeClock())
        if request.param == "memory"
        else PostgresStore(request.getfixturevalue("emptied_database_url"))
    )
    yield opened
    opened.close()


@pytest.fixture
def rig(store: Store) -> Rig:
    return Rig(store=store)
