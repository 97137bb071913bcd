"""Escalations wait in a table until they fill a chunk; here they become one."""

import sqlalchemy as sa

from pipeline.adapters.postgres import records
from pipeline.ports.store import ChunkNotice, RunRecord

_GATHER_LOCKS = 4_841_703
_GATHER = sa.text("""
WITH picked AS (
    SELECT item_no, bit_or(1::bigint << step_no) AS mask, min(since) AS since
      FROM escalations WHERE run_id = :run AND tier_no = :tier AND generation = :generation
     GROUP BY item_no
), numbered AS (
    SELECT item_no, mask, (row_number() OVER (ORDER BY since, item_no) - 1) / :size AS part FROM picked
), made AS (
    INSERT INTO chunks (run_id, tier_no, pool, generation, item_nos, step_masks)
    SELECT :run, :tier, :pool, :generation, array_agg(item_no ORDER BY item_no), array_agg(mask ORDER BY item_no)
      FROM numbered GROUP BY part HAVING count(*) = :size OR :partial
    RETURNING id, item_nos
), gone AS (
    DELETE FROM escalations e USING made
     WHERE e.run_id = :run AND e.tier_no = :tier AND e.generation = :generation AND e.item_no = ANY (made.item_nos)
)
SELECT id, cardinality(item_nos) AS size FROM made ORDER BY id
""")


def hold_gathering(connection: sa.Connection, run: RunRecord) -> None:
    """Wait for whoever gathers in a run, and let nobody else until the transaction ends."""
    for tier_no in range(len(run.job.tiers)):
        _lock(connection, run.id, tier_no)


def _lock(connection: sa.Connection, run_id: int, tier_no: int) -> None:
    connection.execute(
        sa.text("SELECT pg_advisory_xact_lock(:space, hashint8(:place))"),
        {"space": _GATHER_LOCKS, "place": run_id * 64 + tier_no},
    )


def gather(
    connection: sa.Connection, run: RunRecord, tier_no: int, generation: int, *, partial: bool
) -> list[ChunkNotice]:
    """Make chunks of what waits for a tier: full ones, and with `partial` the rest as well.

    Two workers that gather at once would take the same rows twice, so the lock holds until the transaction ends.
    """
    _lock(connection, run.id, tier_no)
    tier = run.job.tiers[tier_no]
    rows = connection.execute(
        _GATHER,
        {
            "run": run.id,
            "tier": tier_no,
            "generation": generation,
            "pool": tier.pool,
            "size": tier.chunk_items,
            "partial": partial,
        },
    )
    return [records.notice(run, row.id, tier_no, row.size) for row in rows]
