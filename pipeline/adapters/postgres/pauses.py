"""Pauses of what is down: a pool, and every other whose tier asks the same account at an endpoint."""

import sqlalchemy as sa

from pipeline.adapters.postgres import records
from pipeline.adapters.postgres.database import Database
from pipeline.ports.store import ClaimedChunk

_PAUSE = sa.text("""
WITH before AS (SELECT coalesce(max(times), 0) AS times FROM pauses WHERE pool = ANY(:pools))
INSERT INTO pauses (run_id, tier_no, pool, reason, times, until)
SELECT u.run_id, u.tier_no, u.pool, :reason, times + 1,
       now() + make_interval(secs => least(:first_s * 2 ^ least(times, 30), :longest_s))
  FROM before, unnest(CAST(:runs AS bigint[]), CAST(:tiers AS int[]), :pools) AS u (run_id, tier_no, pool)
ON CONFLICT (run_id, tier_no) DO UPDATE
   SET pool = excluded.pool, reason = excluded.reason, times = excluded.times, until = excluded.until, since = now()
 WHERE pauses.until <> 'infinity' OR excluded.run_id = :run AND excluded.tier_no = :tier
RETURNING extract(epoch FROM until - now())
""")
_END_POOL = sa.text("""
DELETE FROM pauses p USING chunks c
 WHERE c.id = :id AND (p.run_id = c.run_id AND p.tier_no = c.tier_no OR p.pool = c.pool)
""")
_PAUSED = sa.text("SELECT run_id, tier_no FROM pauses WHERE pool IS NOT NULL ORDER BY run_id, tier_no")
_END = sa.text("DELETE FROM pauses WHERE run_id = :run AND tier_no = :tier")


def pause_tier(
    database: Database, run_id: int, tier_no: int, *, reason: str, first_s: float, longest_s: float
) -> float:
    """Pause a tier's pool, twice as long each time in a row; returns for how many seconds."""
    with database.begin() as connection:
        tier = records.fetch_run(connection, run_id).job.tiers[tier_no]
        # Of a pool one row is enough: it is found by its name.
        others = {
            other.pool: (run.id, number)
            for run in records.active(connection)
            for number, other in enumerate(run.job.tiers)
            if other.falls_with(tier)
        }
        places = others | {tier.pool: (run_id, tier_no)}
        pools = sorted(places, key=places.__getitem__)
        runs, tiers = zip(*(places[pool] for pool in pools), strict=True)
        values = {
            "run": run_id,
            "tier": tier_no,
            "runs": list(runs),
            "tiers": list(tiers),
            "pools": pools,
            "reason": reason,
        }
        values |= {"first_s": first_s, "longest_s": longest_s}
        return float(connection.scalars(_PAUSE, values).all()[0])


def end_pauses(connection: sa.Connection, claimed: ClaimedChunk) -> bool:
    """End the pauses of the pool that answered a chunk and of all that fell with it; returns whether it was paused."""
    if not connection.execute(_END_POOL, {"id": claimed.chunk_id}).rowcount:
        return False
    tier = records.fetch_run(connection, claimed.run_id).job.tiers[claimed.tier_no]
    for row in connection.execute(_PAUSED).all():
        if records.fetch_run(connection, row.run_id).job.tiers[row.tier_no].falls_with(tier):
            connection.execute(_END, {"run": row.run_id, "tier": row.tier_no})
    return True
