"""The life of an ingest: a run is opened, read by one process at a time, finished, and opened again."""

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import records, tables
from pipeline.adapters.postgres.database import Database
from pipeline.domain.errors import StoreUnavailable
from pipeline.domain.policy import policy_of
from pipeline.domain.runs import RunState
from pipeline.ports.store import NewRun, RunRecord

_INGEST_LOCKS = 4_841_702


def open_run(database: Database, new: NewRun) -> tuple[RunRecord, bool]:
    """Return the run of this identity and whether it was made just now."""
    values = {
        "name": new.name,
        "job_name": new.job.name,
        "job_digest": new.job.digest,
        "source_digest": new.source_digest,
        "job": new.job.model_dump(mode="json"),
        "price_book": new.price_book.model_dump(mode="json"),
        "prompt_digests": dict(new.prompt_digests),
        "state": RunState.INGESTING.value,
    }
    runs = tables.runs
    with database.begin() as connection:
        made = connection.execute(insert(runs).values(values).on_conflict_do_nothing().returning(runs)).one_or_none()
        if made is not None:
            policy = policy_of(new.job)
            connection.execute(
                tables.policy_versions.insert(),
                {
                    "run_id": made.id,
                    "version": policy.version,
                    "thresholds": [[*place, value] for place, value in policy.thresholds.items()],
                },
            )
            return records.run_record(made, new.name), True
        found = connection.execute(
            sa.select(runs).where(
                runs.c.job_name == new.job.name,
                runs.c.job_digest == new.job.digest,
                runs.c.source_digest == new.source_digest,
            )
        ).one_or_none()
        return records.run_record(found, new.name), False


@contextlib.contextmanager
def ingest_lock(database: Database, run_id: int) -> Iterator[bool]:
    """Hold the right to add rows to a run."""
    with session_lock(database, _INGEST_LOCKS, run_id % 2**31) as held:
        yield held


@contextlib.contextmanager
def session_lock(database: Database, space: int, number: int) -> Iterator[bool]:
    """Hold a session-level advisory lock: it ends with the connection, so a killed process never leaves it behind."""
    key = {"space": space, "number": number}
    try:
        connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    except sa.exc.SQLAlchemyError:
        raise StoreUnavailable("Postgres does not answer: is it running?") from None
    with connection:
        held = bool(connection.scalar(sa.text("SELECT pg_try_advisory_lock(:space, :number)"), key))
        try:
            yield held
        finally:
            if held:
                with contextlib.suppress(sa.exc.SQLAlchemyError):  # a dead connection holds no lock
                    connection.execute(sa.text("SELECT pg_advisory_unlock(:space, :number)"), key)


def finish_ingest(database: Database, run_id: int) -> None:
    """Say that the source was read to its end."""
    runs = tables.runs.c
    with database.begin() as connection:
        connection.execute(
            tables.runs.update()
            .where(runs.id == run_id)
            .values(
                ingested=True,
                state=sa.case((runs.state == RunState.INGESTING.value, RunState.RUNNING.value), else_=runs.state),
            )
        )


def reopen_ingest(database: Database, run_id: int) -> None:
    """Let a producer add to a run whose ingest was finished."""
    runs = tables.runs.c
    with database.begin() as connection:
        connection.execute(
            tables.runs.update()
            .where(runs.id == run_id, runs.state.in_([RunState.RUNNING.value, RunState.DONE.value]))
            .values(ingested=False, state=RunState.INGESTING.value, finished_at=None)
        )
