"""Rows of the runs and chunks tables as the port's values."""

import json
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from pipeline.adapters.postgres.tables import runs
from pipeline.domain.errors import RunNotFound
from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.domain.runs import WORKING_STATES, RunState
from pipeline.ports.store import ChunkNotice, RunRecord


@lru_cache(maxsize=64)
def _job(text: str) -> Job:
    # Lenient: a release that knows fewer keys must still read the runs of one that knew more.
    return Job.model_validate_json(text, extra="ignore")


@lru_cache(maxsize=64)
def _price_book(text: str) -> PriceBook:
    return PriceBook.model_validate_json(text, extra="ignore")


def run_record(row: "sa.Row[Any] | None", name: object) -> RunRecord:
    """Return the run of a row; raises RunNotFound when there is none."""
    if row is None:
        raise RunNotFound(f"no run {name}: `headrace status` lists them")
    return RunRecord(
        id=row.id,
        name=row.name,
        job=_job(json.dumps(row.job)),
        price_book=_price_book(json.dumps(row.price_book)),
        prompt_digests=row.prompt_digests,
        state=RunState(row.state),
        reason=row.reason,
        rows_read=row.rows_read,
        ingested=row.ingested,
    )


def fetch_run(connection: sa.Connection, run_id: int, *, lock: bool = False) -> RunRecord:
    """Read one run, and with `lock` hold its row until the transaction ends.

    Its key is not locked: workers who commit meanwhile refer to it, and hold chunks that whoever locks may want.
    """
    query = sa.select(runs).where(runs.c.id == run_id)
    row = connection.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()
    return run_record(row, run_id)


def notice(run: RunRecord, chunk_id: int, tier_no: int, size: int) -> ChunkNotice:
    """Return how a chunk is announced."""
    tier = run.job.tiers[tier_no]
    return ChunkNotice(chunk_id=chunk_id, run_name=run.name, tier=tier.name, pool=tier.pool, items=size)


def active(connection: sa.Connection) -> list[RunRecord]:
    """Return the runs at work."""
    states = [state.value for state in WORKING_STATES]
    rows = connection.execute(sa.select(runs).where(runs.c.state.in_(states)).order_by(runs.c.id))
    return [run_record(row, row.name) for row in rows]
