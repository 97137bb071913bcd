"""Which chunks are announced: a few ahead of each tier of a run, so that runs share workers and Redis stays small."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pipeline.adapters.postgres import records
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.records import active
from pipeline.domain.runs import WORKING_STATES
from pipeline.ports.store import ChunkNotice, RunRecord

# Taken and marked in one statement, so that no two workers announce the same chunk. A probe goes to a pool in which
# nothing else is under way. What a clock says that was put back since (a moment from the future, a wait of more than a
# minute) does not count, here and elsewhere.
_DUE = sa.text("""
WITH pause AS (
    SELECT max(CASE WHEN since <= now() + interval '1 s' THEN until ELSE '-infinity' END) AS until
      FROM pauses WHERE run_id = :run AND tier_no = :tier OR pool = :pool
), room AS (
    SELECT CASE
        WHEN until IS NULL THEN :ahead - (SELECT count(*) FROM (
            SELECT FROM chunks WHERE pool = :pool AND run_id = :run AND tier_no = :tier
               AND state = 'pending' AND published_at IS NOT NULL LIMIT :ahead) AS announced)
        WHEN until > now() THEN 0
        ELSE CAST(NOT EXISTS (
            SELECT FROM chunks c JOIN runs r ON r.id = c.run_id
             WHERE c.pool = :pool AND r.state IN ('ingesting', 'running')
               AND (c.state = 'claimed' OR c.state = 'pending' AND c.published_at IS NOT NULL)) AS int)
        END AS chunks FROM pause
), picked AS (
    SELECT id FROM chunks
     WHERE run_id = :run AND tier_no = :tier AND state = 'pending' AND published_at IS NULL
       AND (not_before IS NULL OR NOT not_before BETWEEN now() AND now() + interval '1 minute')
     ORDER BY id LIMIT (SELECT chunks FROM room) FOR UPDATE SKIP LOCKED
)
UPDATE chunks c SET published_at = now() FROM picked WHERE c.id = picked.id
RETURNING c.id, cardinality(c.item_nos) AS size
""")
_NOT_ANNOUNCED = sa.text("UPDATE chunks SET published_at = NULL WHERE id = ANY(:ids) AND state = 'pending'")
_PUBLISHED_PENDING = sa.text("""
SELECT c.id, c.run_id, c.tier_no, cardinality(c.item_nos) AS size
  FROM chunks c JOIN runs r ON r.id = c.run_id
 WHERE r.state IN ('ingesting', 'running') AND c.state = 'pending' AND c.pool = :pool
   AND (c.published_at <= now() - make_interval(secs => :age_s) OR c.published_at > now() + interval '1 s')
 ORDER BY c.id
""")
_POOLS = sa.text("""
SELECT DISTINCT c.pool FROM chunks c JOIN runs r ON r.id = c.run_id
 WHERE r.state IN ('ingesting', 'running') AND c.state = 'pending' AND c.published_at IS NOT NULL
""")
_MARK = sa.text("UPDATE chunks SET published_at = now() WHERE id = ANY(:ids) AND state = 'pending'")


def due(database: Database, *, ahead: int, run_id: int | None, tier_no: int | None) -> Sequence[ChunkNotice]:
    """Take the chunks that are next to be announced, and remember them as announced."""
    with database.begin() as connection:
        runs = active(connection) if run_id is None else [records.fetch_run(connection, run_id)]
        return [
            notice
            for run in runs
            if run.state in WORKING_STATES
            for number in range(len(run.job.tiers))
            if tier_no in {None, number}
            for notice in _due(connection, run, number, ahead)
        ]


def _due(connection: sa.Connection, run: RunRecord, tier_no: int, ahead: int) -> list[ChunkNotice]:
    values = {"run": run.id, "tier": tier_no, "pool": run.job.tiers[tier_no].pool, "ahead": ahead}
    return [records.notice(run, row.id, tier_no, row.size) for row in sorted(connection.execute(_DUE, values).all())]


def not_announced(database: Database, chunk_ids: Sequence[int]) -> None:
    """Forget that these chunks were announced: they were not, after all."""
    _write(database, _NOT_ANNOUNCED, chunk_ids)


def mark_published(database: Database, chunk_ids: Sequence[int]) -> None:
    """Remember that these chunks were announced."""
    _write(database, _MARK, chunk_ids)


def _write(database: Database, statement: sa.TextClause, chunk_ids: Sequence[int]) -> None:
    if chunk_ids:
        with database.begin() as connection:
            connection.execute(statement, {"ids": list(chunk_ids)})


def published_pending(database: Database, *, pool: str, older_than_s: float) -> Sequence[ChunkNotice]:
    """Return chunks that were announced this long ago and never claimed."""
    with database.begin() as connection:
        found = connection.execute(_PUBLISHED_PENDING, {"pool": pool, "age_s": older_than_s}).all()
        return _notices(connection, found)


def _notices(connection: sa.Connection, rows: Sequence["sa.Row[Any]"]) -> list[ChunkNotice]:
    runs = {run_id: records.fetch_run(connection, run_id) for run_id in {row.run_id for row in rows}}
    return [records.notice(runs[row.run_id], row.id, row.tier_no, row.size) for row in rows]


def pools(database: Database) -> Sequence[str]:
    """Return the pools in which chunks are announced and not claimed."""
    with database.begin() as connection:
        return [str(pool) for pool in connection.scalars(_POOLS)]
