"""Roles of the database with no more rights than each work needs: groups that a login role of yours joins.

`headrace_producer` puts rows in, `headrace_worker` answers and sweeps, `headrace_reader` reports. What is ordered by
hand (`retry`, `cancel`, `forget`, `labels import`), logs that are loaded and `migrate` are the owner's.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import sqlalchemy as sa

from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.tables import metadata

_LOCK = 4_841_705
PRODUCER: Final = "headrace_producer"
WORKER: Final = "headrace_worker"
READER: Final = "headrace_reader"
ROLES: Final = (PRODUCER, WORKER, READER)
_VERSION = "alembic_version"
TABLES: Final = (*sorted(metadata.tables), _VERSION)

_Rights = Mapping[str, tuple[str, ...]]
"""What may be done → tables, or TABLE (COLUMN, …)."""

# Whoever submits also ends a run in which nothing is open, so it counts; but it reads no text and no answer.
_PRODUCER: _Rights = {
    "SELECT": (
        *("runs", "chunks", "escalations", "pauses", "budgets", "reservations", _VERSION),
        "items (run_id, item_no, copy_of, fingerprint, key_fingerprint, forgotten_at)",
        "attempts (run_id, outcome)",
        "verdicts (run_id)",
        "ledger (run_id, cost_usd)",
    ),
    "INSERT": ("runs", "policy_versions", "items", "rejected_rows", "chunks", "budgets"),
    "UPDATE": (
        "runs (rows_read, items, duplicates, rejected, ingested, state, reason, finished_at)",
        "chunks (published_at)",
        "budgets (usd, per_item_usd, on_exhausted)",
    ),
    "DELETE": ("escalations", "pauses"),
}
# Of items a worker changes the text alone: the sweep erases those that were kept long enough.
_WORKER: _Rights = {
    "SELECT": (
        *("runs", "items", "chunks", "attempts", "verdicts", "escalations", "ledger", "pauses", "budgets"),
        *("reservations", "drawings", "policy_versions", "labels", "turns", _VERSION),
    ),
    "INSERT": (
        *("chunks", "attempts", "verdicts", "escalations", "ledger", "pauses", "reservations", "drawings"),
        *("policy_versions", "turns"),
    ),
    "UPDATE": (
        *("chunks", "pauses", "budgets", "drawings", "turns"),
        "runs (state, reason, finished_at, texts_erased_at)",
        "items (text)",
        "attempts (outcome, reason, to_tier, policy_version, defect_detail)",
    ),
    "DELETE": ("escalations", "pauses", "reservations"),
}
_READER: _Rights = {"SELECT": TABLES}
RIGHTS: Final[Mapping[str, _Rights]] = {PRODUCER: _PRODUCER, WORKER: _WORKER, READER: _READER}


def statements() -> Iterator[str]:
    """Yield what makes the roles, or makes them again what they are: run by the tables' owner, who may create roles."""
    for role in ROLES:
        yield (
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN "
            f"CREATE ROLE {role} NOLOGIN; END IF; END $$"
        )
    names = ", ".join(ROLES)
    yield f"DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO {names}', current_schema()); END $$"
    yield f"REVOKE ALL ON {', '.join(TABLES)} FROM {names}"
    for role, rights in RIGHTS.items():
        for right, places in rights.items():
            for place in places:
                table, _, columns = place.partition(" ")
                yield f"GRANT {right} {columns} ON {table} TO {role}".replace("  ", " ")
    # Chunks are numbered before they are written: see `rows`.
    yield f"GRANT USAGE ON SEQUENCE chunks_id_seq TO {PRODUCER}"


def grant_roles(url: str) -> None:
    """Make the roles; twice is once. Raises ConfigError where the user of the URL may not, and StoreUnavailable."""
    database = Database(url, pool_size=1)
    try:
        with database.begin() as connection:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            for statement in statements():
                connection.execute(sa.text(statement))
    finally:
        database.close()
