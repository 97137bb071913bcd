"""Money before it is spent: reserved under the lock of the run's budget, settled with the answers it paid for."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import tables
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.orders import stop
from pipeline.adapters.postgres.records import fetch_run
from pipeline.domain.budget import (
    BROKE,
    Budget,
    Funded,
    Spending,
    Unsettled,
    funded,
    over_cap_reason,
    spent_reason,
)
from pipeline.domain.runs import RunState
from pipeline.ports.chunks import ClaimedChunk

_SPENDING = sa.text("""
SELECT usd, per_item_usd, on_exhausted, settled_usd, reserved_usd FROM budgets WHERE run_id = :run
""")
_UNSETTLED = sa.text("""
SELECT count(*) AS calls, coalesce(sum(r.usd), 0) AS usd FROM reservations r JOIN chunks c ON c.id = r.chunk_id
 WHERE (r.run_id = :run OR CAST(:run AS bigint) IS NULL) AND (c.state <> 'claimed' OR c.fence <> r.fence)
""")
_SO_FAR = sa.text("""
SELECT (SELECT coalesce(sum(cost_usd), 0) FROM ledger WHERE run_id = :run) AS settled,
       (SELECT coalesce(sum(usd), 0) FROM reservations WHERE run_id = :run) AS reserved
""")
# A run's first budget counts what was spent and reserved before it: while it does, no call is begun or settled, which
# would otherwise be neither counted nor, without a budget yet, taken off.
_STEADY = sa.text("SELECT pg_advisory_xact_lock_shared(:space, hashint8(:run))")
_ALONE = sa.text("SELECT pg_advisory_xact_lock(:space, hashint8(:run))")
_BUDGET_LOCKS = 1_112_688_455
# The chunk first, as a commit does, so that two claims on one never wait for each other.
_CHUNK = sa.text("SELECT state = 'claimed' AND fence = :fence FROM chunks WHERE id = :chunk FOR UPDATE")
_LOCKED = sa.text(_SPENDING.text + " FOR UPDATE")
# What each item has cost, and what other claims on it may cost yet. Read under the budget's lock: a commit settles
# under it, so that an answer is either among the attempts or still reserved.
_SPENT = sa.text("""
SELECT u.item_no, coalesce(a.usd, 0) + coalesce(r.usd, 0) AS usd, coalesce(a.unknown, 0) AS unknown
  FROM unnest(CAST(:items AS bigint[])) AS u (item_no)
  LEFT JOIN (
    SELECT item_no, sum(cost_usd) AS usd, count(*) FILTER (WHERE cost_usd IS NULL) AS unknown FROM attempts
     WHERE run_id = :run AND item_no = ANY(CAST(:items AS bigint[])) GROUP BY item_no
  ) AS a USING (item_no)
  LEFT JOIN (
    SELECT i.item_no, sum(i.usd) AS usd FROM reservations v JOIN chunks c ON c.id = v.chunk_id
     CROSS JOIN unnest(v.item_nos, v.item_usd) AS i (item_no, usd)
     WHERE v.run_id = :run AND c.state = 'claimed' AND c.fence = v.fence GROUP BY i.item_no
  ) AS r USING (item_no)
""")
_RESERVE = sa.text("""
INSERT INTO reservations (chunk_id, fence, run_id, usd, item_nos, item_usd)
VALUES (:chunk, :fence, :run, :usd, :items, :item_usd)
""")
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
_SET_ASIDE = sa.text("""
INSERT INTO chunks (run_id, tier_no, pool, generation, item_nos, step_masks, state, failure)
SELECT run_id, tier_no, pool, generation, :items, :masks, 'dead', :failure FROM chunks WHERE id = :chunk
""")
_DEAD = sa.text("""
UPDATE chunks SET state = 'dead', lease_until = NULL, claims = claims - 1, item_nos = :items, step_masks = :masks,
       failure = :failure
 WHERE id = :chunk AND fence = :fence
""")
_OURS = sa.text("SELECT FROM chunks WHERE id = :chunk AND fence = :fence AND state = 'claimed' FOR UPDATE")


def set_budget(database: Database, run_id: int, budget: Budget) -> None:
    """Give a run a budget, or another one; a run that waited for money goes on."""
    with database.begin() as connection:
        connection.execute(_ALONE, {"space": _BUDGET_LOCKS, "run": run_id})
        fetch_run(connection, run_id, lock=True)  # or it could be held for want of what it is given just now
        said = budget.model_dump()
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
            budget=_budget(row),
            settled_usd=row.settled_usd,
            reserved_usd=row.reserved_usd,
            lost=unsettled_of(connection, run_id),
        )
    )


def unsettled_of(connection: sa.Connection, run_id: int | None) -> Unsettled:
    """Return the paid calls whose worker was lost; of all runs for None."""
    row = connection.execute(_UNSETTLED, {"run": run_id}).one()
    return Unsettled(calls=row.calls, usd=row.usd)


def _budget(row: "sa.Row[Any]") -> Budget:
    return Budget(usd=row.usd, per_item_usd=row.per_item_usd, on_exhausted=row.on_exhausted)


def reserve(database: Database, claimed: ClaimedChunk, costs: Sequence[Decimal]) -> Funded:
    """Reserve for as many of the first items as there is money for; sets aside what is over its own cap."""
    place = {"run": claimed.run_id, "chunk": claimed.chunk_id, "fence": claimed.fence}
    with database.begin() as connection:
        ours = connection.scalar(_CHUNK, {"chunk": claimed.chunk_id, "fence": claimed.fence})
        connection.execute(_STEADY, {"space": _BUDGET_LOCKS, "run": claimed.run_id})
        row = connection.execute(_LOCKED, {"run": claimed.run_id}).one_or_none()
        found = Funded(asked=tuple(range(len(costs))))
        if row is not None:
            budget = _budget(row)
            spent = _spent(connection, claimed, budget, len(costs))
            found = funded(budget, costs, spent, gone_usd=row.settled_usd + row.reserved_usd)
            if ours and found.over_cap:
                _set_aside(connection, claimed, budget, found, costs, spent)
        usd = sum((costs[one] for one in found.asked), Decimal(0))
        if usd:
            items = [claimed.item_nos[one] for one in found.asked]
            item_usd = [costs[one] for one in found.asked]
            connection.execute(_RESERVE, {**place, "usd": usd, "items": items, "item_usd": item_usd})
            connection.execute(_RESERVED, {"run": claimed.run_id, "usd": usd})
        return found


def _spent(connection: sa.Connection, claimed: ClaimedChunk, budget: Budget, items: int) -> list[Decimal | None]:
    """Return what each item has cost, or may; None where a call did not say."""
    if budget.per_item_usd is None:
        return [Decimal(0)] * items
    rows = connection.execute(_SPENT, {"run": claimed.run_id, "items": list(claimed.item_nos)})
    by_item = {row.item_no: None if row.unknown else row.usd for row in rows}
    return [by_item[item_no] for item_no in claimed.item_nos]


def _set_aside(
    connection: sa.Connection,
    claimed: ClaimedChunk,
    budget: Budget,
    found: Funded,
    costs: Sequence[Decimal],
    spent: Sequence[Decimal | None],
) -> None:
    """Take what is over its cap out of its chunk: answered as well as it is, or dead letters."""
    asked = {claimed.item_nos[one]: claimed.step_masks[one] for one in found.over_cap}
    if budget.on_exhausted == "accept":
        asked = _without_answers(connection, claimed.run_id, asked)
    wanted: dict[int, Decimal | None] = {}
    for one in found.over_cap:
        before = spent[one]
        wanted[claimed.item_nos[one]] = None if before is None else before + costs[one]
    place = {"chunk": claimed.chunk_id, "fence": claimed.fence}
    dead: dict[str, Any] = {"items": list(asked), "masks": list(asked.values())}
    if asked:
        cap = budget.per_item_usd or Decimal(0)
        dead["failure"] = over_cap_reason(cap, [wanted[item_no] for item_no in asked])
    left = claimed.only([one for one in range(len(costs)) if one not in found.over_cap])
    if left.item_nos:
        kept = {"items": list(left.item_nos), "masks": list(left.step_masks)}
        connection.execute(_KEEP, {**place, **kept})
        if asked:
            connection.execute(_SET_ASIDE, {"chunk": claimed.chunk_id, **dead})
    else:
        connection.execute(_DEAD if asked else _DONE, {**place, **(dead if asked else {})})


def settle_call(connection: sa.Connection, claimed: ClaimedChunk, costs: Sequence[Decimal | None]) -> None:
    """Settle what a claim had reserved at what its calls cost; in the transaction that books them."""
    known = [cost for cost in costs if cost is not None]
    values = {"run": claimed.run_id, "chunk": claimed.chunk_id, "fence": claimed.fence}
    total = {"known": sum(known, Decimal(0)), "unknown": len(known) < len(costs)}
    connection.execute(_STEADY, {"space": _BUDGET_LOCKS, "run": claimed.run_id})
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
    left = _without_answers(connection, claimed.run_id, asked)
    place = {"chunk": claimed.chunk_id, "fence": claimed.fence}
    if left:
        connection.execute(_KEEP, {**place, "items": list(left), "masks": list(left.values())})
    else:
        connection.execute(_DONE, place)
    return not left


def _without_answers(connection: sa.Connection, run_id: int, asked: Mapping[int, int]) -> dict[int, int]:
    """Let the best answers so far of items and step masks stand; returns what has none."""
    left = dict(asked)
    values = {"run": run_id, "items": list(asked), "masks": list(asked.values())}
    for item_no, step_no in connection.execute(_ACCEPT, values):
        left[item_no] &= ~(1 << step_no)
    return {item_no: mask for item_no, mask in left.items() if mask}


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
