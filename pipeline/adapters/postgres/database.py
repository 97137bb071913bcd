"""Connections, transactions, bulk writes, and the one place where the driver's errors become ours."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from pipeline.adapters.postgres.address import postgres_url
from pipeline.domain.errors import ConfigError, ConservationError, HeadraceError, StoreUnavailable

_CONNECT_TIMEOUT_S = 10


def translated(error: Exception) -> HeadraceError:
    """Return our error for one of the driver's; the driver's own text may quote a row, so only safe parts are kept."""
    original = getattr(error, "orig", None) or error
    state = getattr(original, "sqlstate", None)
    if isinstance(original, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return ConfigError("the database's tables are missing or old: run `headrace migrate`")
    if isinstance(original, psycopg.errors.InsufficientPrivilege):
        return ConfigError(
            "the database's user may not do this: join it to the role for this work (`headrace migrate --help`), or "
            "be the tables' owner"
        )
    if isinstance(original, psycopg.errors.IntegrityError):
        constraint = original.diag.constraint_name
        return ConservationError(
            f"Postgres refused a row by {constraint} ({state}): this is a bug, nothing was written"
        )
    if isinstance(original, psycopg.errors.DiskFull):
        return StoreUnavailable("Postgres has no disk space left: free some; the work goes on by itself")
    if isinstance(original, psycopg.OperationalError | psycopg.InterfaceError) or isinstance(
        error, sa.exc.TimeoutError | sa.exc.DisconnectionError
    ):
        return StoreUnavailable(f"Postgres does not answer ({state or type(original).__name__}): is it running?")
    return HeadraceError(f"Postgres refused a statement ({state or type(original).__name__})")


class Database:
    """A pool of connections to one Postgres."""

    def __init__(self, url: str, *, pool_size: int = 4) -> None:
        """Connect lazily; raises ConfigError when the URL is none of Postgres."""
        self.engine = sa.create_engine(
            postgres_url(url),
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=4,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"connect_timeout": _CONNECT_TIMEOUT_S, "application_name": "headrace"},
        )

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Run a transaction; raises our own errors."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except (sa.exc.SQLAlchemyError, psycopg.Error) as error:
            # `from None`: the driver's message may hold a customer's row.
            raise translated(error) from None

    @contextlib.contextmanager
    def autocommit(self) -> Iterator[sa.Connection]:
        """Run statements that no transaction may hold; raises our own errors."""
        try:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                yield connection
        except (sa.exc.SQLAlchemyError, psycopg.Error) as error:
            raise translated(error) from None

    def close(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def copy_rows(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write rows by binary COPY inside the connection's transaction: several times faster than INSERT."""
    rows = list(rows)
    if not rows:
        return
    types = [_pg_type(table.c[name].type) for name in columns]
    names = ", ".join(f'"{name}"' for name in columns)
    raw = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    statement = f'COPY "{table.name}" ({names}) FROM STDIN WITH (FORMAT BINARY)'
    with raw.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def copy_text(connection: sa.Connection, table: sa.Table, columns: Sequence[str], lines: bytes) -> None:
    """Write lines that are COPY's text format already."""
    raw = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    names = ", ".join(f'"{name}"' for name in columns)
    with raw.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN'.encode()) as copy:
        copy.write(lines)


def storable(text: str) -> str:
    """Return words of an endpoint as Postgres can hold them: NULs and half surrogate pairs are replaced."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _pg_type(kind: sa.types.TypeEngine[Any]) -> str:
    names: dict[type[Any], str] = {
        sa.BigInteger: "int8",
        sa.SmallInteger: "int2",
        sa.Integer: "int4",
        sa.Text: "text",
        sa.LargeBinary: "bytea",
        sa.Uuid: "uuid",
        sa.Numeric: "numeric",
        sa.Double: "float8",
        sa.Boolean: "bool",
        sa.JSON: "json",
        sa.DateTime: "timestamptz",
        sa.Date: "date",
    }
    if isinstance(kind, sa.ARRAY):
        return f"{_pg_type(kind.item_type)}[]"
    return next(names[cls] for cls in type(kind).__mro__ if cls in names)
