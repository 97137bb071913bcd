"""Money before it is spent: reserved under the lock of the run's budget, settled with the answers it paid for."""

from collections.abc import Sequence
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import tables
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.orders import stop
from pipeline.adapters.postgres.records import fetch_run
from pipeline.domain.budget import BROKE, Budget, Spending, affordable, spent_reason
from pipeline.domain.runs import RunState
from pipeline.ports.chunks import ClaimedChunk

_SPENDING = sa.text("""
SELECT b.usd, b.on_exhausted, b.settled_usd, b.reserved_usd, coalesce(sum(l.usd), 0) AS lost_usd,
       count(l.chunk_id) AS lost_calls
  FROM budgets b LEFT JOIN (
    SELECT r.* FROM reservations r JOIN chunks c ON c.id = r.chunk_id
     WHERE r.run_id = :run AND (c.state <> 'claimed' OR c.fence <> r.fence)
  ) AS l ON l.run_id = b.run_id
 WHERE b.run_id = :run GROUP BY b.run_id
""")
_SO_FAR = sa.text("""
SELECT (SELECT coalesce(sum(cost_usd), 0) FROM ledger WHERE run_id = :run) AS settled,
       (SELECT coalesce(sum(usd), 0) FROM reservations WHERE run_id = :run) AS reserved
""")
_LOCKED = sa.text("SELECT usd - settled_usd - reserved_usd FROM budgets WHERE run_id = :run FOR UPDATE")
_RESERVE = sa.text("INSERT INTO reservations (chunk_id, fence, run_id, usd) VALUES (:chunk, :fence, :run, :usd)")
_RESERVED = sa.text("UPDATE budgets SET reserved_usd = reserved_usd + :usd WHERE run_id = :run")
# Where a call does not say what it cost, the claim is settled at the most that it may have: see domain.budget.charge.
_SETTLE = sa.text("""
WITH taken AS (DELETE FROM reservations WHERE chunk_id = :chunk AND fence = :fence RETURNING usd),
     was AS (SELECT coalesce((SELECT usd FROM taken), 0) AS usd)
UPDATE budgets b SET reserved_usd = b.reserved_usd - was.usd,
       settled_usd = b.settled_usd + CASE WHEN :unknown THEN greatest(:known, was.usd) ELSE :known END
  FROM was WHERE b.run_id = :run
""")
_PUT_BACK = sa.text("""
UPDATE chunks SET state = 'pending', lease_until = NULL, published_at = NULL, claims = claims - 1
 WHERE id = :chunk AND fence = :fence AND state = 'claimed'
""")
# Without an end: no probe is sent while nothing can have changed.
_WAIT = sa.text("""
INSERT INTO pauses (run_id, tier_no, reason, until) VALUES (:run, :tier, :reason, 'infinity')
ON CONFLICT (run_id, tier_no) DO UPDATE SET reason = excluded.reason, until = excluded.until, since = now()
""")
_GO_ON = sa.text("DELETE FROM pauses WHERE run_id = :run AND until = 'infinity'")
_BROKE = sa.text("""
SELECT EXISTS (SELECT FROM pauses WHERE run_id = :run AND until = 'infinity') AND NOT EXISTS (
    SELECT FROM chunks c LEFT JOIN pauses p ON p.run_id = c.run_id AND p.tier_no = c.tier_no AND p.until = 'infinity'
     WHERE c.run_id = :run AND (c.state = 'claimed' OR (c.state = 'pending' AND p.tier_no IS NULL))
) AND NOT EXISTS (
    SELECT FROM escalations e LEFT JOIN pauses p
        ON p.run_id = e.run_id AND p.tier_no = e.tier_no AND p.until = 'infinity'
     WHERE e.run_id = :run AND p.tier_no IS NULL
)
""")
_HOLD = sa.text("UPDATE runs SET state = 'held', reason = :reason WHERE id = :run")
_RELEASE = sa.text("""
UPDATE runs SET state = CASE WHEN ingested THEN 'running' ELSE 'ingesting' END, reason = NULL
 WHERE id = :run AND state = 'held'
""")
_ACCEPT = sa.text("""
INSERT INTO verdicts (run_id, item_no, step_no, tier_no, purpose, generation, state)
SELECT DISTINCT ON (a.item_no, a.step_no) a.run_id, a.item_no, a.step_no, a.tier_no, a.purpose, a.generation,
       'uncertified'
  FROM unnest(CAST(:items AS bigint[]), CAST(:masks AS bigint[])) AS u (item_no, mask)
  JOIN attempts a ON a.run_id = :run AND a.item_no = u.item_no AND (u.mask >> a.step_no) & 1 = 1
 WHERE a.purpose = 'answer' AND a.answer IS NOT NULL
 ORDER BY a.item_no, a.step_no, a.confidence DESC NULLS LAST, a.tier_no DESC, a.generation DESC
RETURNING item_no, step_no
""")
_DONE = sa.text("""
UPDATE chunks SET state = 'done', done_at = now(), lease_until = NULL WHERE id = :chunk AND fence = :fence
""")
_KEEP = sa.text("UPDATE chunks SET item_nos = :items, step_masks = :masks WHERE id = :chunk AND fence = :fence")
_OURS = sa.text("SELECT FROM chunks WHERE id = :chunk AND fence = :fence AND state = 'claimed' FOR UPDATE")


def set_budget(database: Database, run_id: int, budget: Budget) -> None:
    """Give a run a budget, or another one; a run that waited for money goes on."""
    with database.begin() as connection:
        fetch_run(connection, run_id, lock=True)  # or it could be held for want of what it is given just now
        said = {"usd": budget.usd, "on_exhausted": budget.on_exhausted}
        so_far = connection.execute(_SO_FAR, {"run": run_id}).one()
        statement = insert(tables.budgets).values(
            run_id=run_id, settled_usd=so_far.settled, reserved_usd=so_far.reserved, **said
        )
        connection.execute(statement.on_conflict_do_update(index_elements=["run_id"], set_=said))
        if connection.execute(_GO_ON, {"run": run_id}).rowcount:
            connection.execute(_RELEASE, {"run": run_id})


def spending(database: Database, run_id: int) -> Spending | None:
    """Return where a run's money stands."""
    with database.begin() as connection:
        return spending_of(connection, run_id)


def spending_of(connection: sa.Connection, run_id: int) -> Spending | None:
    """Return where a run's money stands."""
    row = connection.execute(_SPENDING, {"run": run_id}).one_or_none()
    return (
        None
        if row is None
        else Spending(
            budget=Budget(usd=row.usd, on_exhausted=row.on_exhausted),
            settled_usd=row.settled_usd,
            reserved_usd=row.reserved_usd,
            lost_usd=row.lost_usd,
            lost_calls=row.lost_calls,
        )
    )


def reserve(database: Database, claimed: ClaimedChunk, costs: Sequence[Decimal]) -> int:
    """Reserve for as many of the first items as there is money for; returns how many."""
    place = {"run": claimed.run_id, "chunk": claimed.chunk_id, "fence": claimed.fence}
    with database.begin() as connection:
        free = connection.scalar(_LOCKED, {"run": claimed.run_id})
        count = len(costs) if free is None else affordable(costs, free)
        usd = sum(costs[:count], Decimal(0))
        if usd:
            connection.execute(_RESERVE, {**place, "usd": usd})
            connection.execute(_RESERVED, {"run": claimed.run_id, "usd": usd})
        return count


def settle_call(connection: sa.Connection, claimed: ClaimedChunk, costs: Sequence[Decimal | None]) -> None:
    """Settle what a claim had reserved at what its calls cost; in the transaction that books them."""
    known = [cost for cost in costs if cost is not None]
    values = {"run": claimed.run_id, "chunk": claimed.chunk_id, "fence": claimed.fence}
    total = {"known": sum(known, Decimal(0)), "unknown": len(known) < len(costs)}
    connection.execute(_SETTLE, {**values, **total})


def out_of_money(database: Database, claimed: ClaimedChunk) -> RunState:
    """Do what the run's budget says with a claimed chunk that there is no money for; returns the run's state."""
    place = {"run": claimed.run_id, "chunk": claimed.chunk_id, "fence": claimed.fence}
    with database.begin() as connection:
        run = fetch_run(connection, claimed.run_id, lock=True)
        now = spending_of(connection, claimed.run_id)
        if now is None or connection.execute(_OURS, place).one_or_none() is None:
            return run.state
        if now.budget.on_exhausted == "stop":
            stop(connection, run.id, reason=spent_reason(run.name, now))
            return RunState.CANCELLED
        if now.budget.on_exhausted == "accept" and _accepted(connection, claimed):
            return run.state
        connection.execute(_PUT_BACK, place)
        connection.execute(_WAIT, {"run": run.id, "tier": claimed.tier_no, "reason": BROKE})
        return run.state


def _accepted(connection: sa.Connection, claimed: ClaimedChunk) -> bool:
    """Let the best answers so far stand; returns whether each question of the chunk had one."""
    asked = dict(zip(claimed.item_nos, claimed.step_masks, strict=True))
    values = {"run": claimed.run_id, "items": list(asked), "masks": list(asked.values())}
    for item_no, step_no in connection.execute(_ACCEPT, values):
        asked[item_no] &= ~(1 << step_no)
    left = {item_no: mask for item_no, mask in asked.items() if mask}
    place = {"chunk": claimed.chunk_id, "fence": claimed.fence}
    if left:
        connection.execute(_KEEP, {**place, "items": list(left), "masks": list(left.values())})
    else:
        connection.execute(_DONE, place)
    return not left


def held_for_money(connection: sa.Connection, run_id: int) -> bool:
    """Hold a run in which nothing is left to do but what there is no money for; returns whether it is held now."""
    if not connection.scalar(_BROKE, {"run": run_id}):
        return False
    run = fetch_run(connection, run_id, lock=True)
    if run.state is not RunState.RUNNING or not connection.scalar(_BROKE, {"run": run_id}):
        return False
    now = spending_of(connection, run_id)
    connection.execute(_HOLD, {"run": run_id, "reason": BROKE if now is None else spent_reason(run.name, now)})
    return True
