"""Chunks that break their workers: given back or taken back, halved down to the item that does it, and dead letters."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.keeping import refuse_erased
from pipeline.adapters.postgres.money import settle_call
from pipeline.adapters.postgres.records import fetch_run
from pipeline.domain.dead import FEW_OPEN, LOST_WORKER, TRIES_OF_A_HALF, DeadItem
from pipeline.domain.job import steps_of
from pipeline.domain.runs import ENDED_STATES, RunState
from pipeline.ports.store import ClaimedChunk

_LATE = "(c.lease_until < now() OR c.claimed_by = ANY(:gone)) AND r.state IN ('ingesting', 'running')"
_OURS = "c.id = :id AND c.fence = :fence"
# The old chunk keeps the first half: it is claimed anew, with a new fence, so that who holds the old claim is refused.
_HALVE = """
WITH broken AS (
    SELECT c.id, cardinality(c.item_nos) / 2 AS half FROM chunks c JOIN runs r ON r.id = c.run_id
     WHERE {which} AND c.state = 'claimed' AND c.claims >= :dead_after AND cardinality(c.item_nos) > 1
       AND (EXISTS (SELECT FROM chunks d WHERE d.run_id = c.run_id AND d.tier_no = c.tier_no AND d.state = 'done')
            OR (SELECT count(*) FROM chunks o
                 WHERE o.run_id = c.run_id AND o.tier_no = c.tier_no AND o.state IN ('pending', 'claimed')) <= :few)
       FOR UPDATE OF c
), rest AS (
    INSERT INTO chunks (run_id, tier_no, pool, generation, item_nos, step_masks, claims, failure)
    SELECT c.run_id, c.tier_no, c.pool, c.generation, c.item_nos[half + 1:], c.step_masks[half + 1:], :claims, :failure
      FROM chunks c JOIN broken USING (id)
)
UPDATE chunks c SET item_nos = c.item_nos[1:half], step_masks = c.step_masks[1:half], claims = :claims,
       state = 'pending', lease_until = NULL, published_at = NULL, failure = :failure
  FROM broken WHERE c.id = broken.id
"""
_HALVE_LATE = sa.text(_HALVE.format(which=_LATE))
_HALVE_OURS = sa.text(_HALVE.format(which=_OURS))
_GIVE_BACK = sa.text("""
UPDATE chunks SET state = CASE WHEN claims >= :dead_after THEN 'dead' ELSE 'pending' END, lease_until = NULL,
       published_at = NULL, claims = claims - :uncounted, failure = coalesce(:failure, failure),
       not_before = now() + make_interval(secs => :wait_s)
 WHERE id = :id AND fence = :fence AND state = 'claimed' RETURNING state
""")
_TAKE_BACK = """
UPDATE chunks c SET state = CASE WHEN c.claims >= :dead_after THEN 'dead' ELSE 'pending' END, lease_until = NULL,
       published_at = NULL, failure = :failure
  FROM runs r WHERE r.id = c.run_id AND c.state = 'claimed' AND {which}
"""
_TAKE_BACK_LATE = sa.text(_TAKE_BACK.format(which=_LATE))
_DEAD = sa.text("""
SELECT c.id, c.tier_no, c.claims, c.failure, cardinality(c.item_nos) AS size, u.mask, i.item_no, i.key, i.source,
       i.line, i.text
  FROM chunks c CROSS JOIN unnest(c.item_nos, c.step_masks) AS u (item_no, mask)
  JOIN items i ON i.run_id = c.run_id AND i.item_no = u.item_no
 WHERE c.run_id = :run AND c.state = 'dead' ORDER BY i.item_no, c.id
""")
_REQUEUE = sa.text("""
UPDATE chunks SET state = 'pending', published_at = NULL, not_before = NULL, claims = 0
 WHERE run_id = :run AND state = 'dead' AND (item_nos && CAST(:items AS bigint[]) OR CAST(:items AS bigint[]) IS NULL)
RETURNING step_masks
""")
_WORK_AGAIN = sa.text("UPDATE runs SET state = :state, reason = NULL, finished_at = NULL WHERE id = :run")


def give_back(
    database: Database, claimed: ClaimedChunk, *, dead_after: int | None, failure: str | None, wait_s: float
) -> bool:
    """Put a claimed chunk back, or its halves; returns whether it is dead now."""
    values = {"id": claimed.chunk_id, "fence": claimed.fence, "failure": failure, "wait_s": wait_s}
    with database.begin() as connection:
        if dead_after is not None and connection.execute(_HALVE_OURS, values | _patience(dead_after)).rowcount:
            return False
        if dead_after is None:  # nothing was answered, and nothing of it is charged
            settle_call(connection, claimed, ())
        uncounted = {"dead_after": dead_after or 2**31 - 1, "uncounted": int(dead_after is None)}
        return bool(connection.scalar(_GIVE_BACK, values | uncounted) == "dead")


def take_back(connection: sa.Connection, *, dead_after: int, gone: Collection[str]) -> int:
    """Put back what dead workers hold, or its halves; returns how many chunks."""
    values = {"failure": LOST_WORKER, "gone": list(gone)}
    halved = connection.execute(_HALVE_LATE, values | _patience(dead_after)).rowcount
    return int(halved + connection.execute(_TAKE_BACK_LATE, values | {"dead_after": dead_after}).rowcount)


def _patience(dead_after: int) -> dict[str, int]:
    return {"dead_after": dead_after, "claims": max(0, dead_after - TRIES_OF_A_HALF), "few": FEW_OPEN}


def dead(database: Database, run_id: int) -> Sequence[DeadItem]:
    """Return the dead letters of a run, in the order of its items."""
    with database.begin() as connection:
        run = fetch_run(connection, run_id)
        return [
            DeadItem(
                run=run.name,
                item_no=row.item_no,
                key=row.key,
                source=row.source,
                line=row.line,
                steps=tuple(run.job.steps[number].name for number in steps_of(row.mask)),
                tier=run.job.tiers[row.tier_no].name,
                chunk=row.id,
                with_others=row.size - 1,
                claims=row.claims,
                reason=row.failure or LOST_WORKER,
                text=row.text,
            )
            for row in connection.execute(_DEAD, {"run": run_id})
        ]


def requeue(database: Database, run_id: int, item_nos: Collection[int] | None) -> int:
    """Put dead chunks that hold one of these items back to pending; returns how many (item, step) are asked again."""
    with database.begin() as connection:
        run = fetch_run(connection, run_id, lock=True)
        wanted = None if item_nos is None else list(item_nos)
        refuse_erased(connection, run, wanted)
        asked = sum(
            len(steps_of(mask))
            for masks in connection.scalars(_REQUEUE, {"run": run_id, "items": wanted})
            for mask in masks
        )
        if asked and run.state in ENDED_STATES:
            state = RunState.RUNNING if run.ingested else RunState.INGESTING
            connection.execute(_WORK_AGAIN, {"run": run_id, "state": state.value})
        return asked
