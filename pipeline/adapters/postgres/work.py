"""Chunks, from claim to commit."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import records, tables
from pipeline.adapters.postgres.database import Database, copy_rows, storable
from pipeline.adapters.postgres.gather import gather
from pipeline.adapters.postgres.money import settle_call
from pipeline.adapters.postgres.pauses import end_pauses
from pipeline.domain.answers import Malformed, to_json
from pipeline.domain.attempt_costs import attempt_costs
from pipeline.domain.outcomes import Escalation, Unresolved, Verdict
from pipeline.ports.store import ChunkNotice, ClaimedChunk, Committed, JudgedChunk

_ATTEMPT_COLUMNS = tuple(column.name for column in tables.attempts.columns)
_VERDICT_COLUMNS = ("run_id", "item_no", "step_no", "tier_no", "purpose", "generation", "state")
_ESCALATION_COLUMNS = ("run_id", "tier_no", "generation", "item_no", "step_no")
_LEDGER_COLUMNS = tuple(column.name for column in tables.ledger.columns if column.name != "at")
_ANSWER = "answer"

_CLAIM = sa.text("""
WITH got AS (
    UPDATE chunks c
       SET state = 'claimed', fence = c.fence + 1, claims = c.claims + 1, claimed_by = :worker,
           lease_until = now() + make_interval(secs => :lease_s)
      FROM runs r
     WHERE c.id = :id AND r.id = c.run_id AND r.state IN ('ingesting', 'running')
       AND (c.state = 'pending' OR (c.state = 'claimed' AND c.lease_until < now()))
       AND NOT EXISTS (SELECT FROM pauses p
                        WHERE (p.run_id = c.run_id AND p.tier_no = c.tier_no OR p.pool = c.pool)
                          AND p.until > now() AND p.since <= now() + interval '1 s')
    RETURNING c.*
)
SELECT got.*, (
    SELECT count(*) FROM chunks a
     WHERE a.pool = got.pool AND a.run_id = got.run_id AND a.tier_no = got.tier_no AND a.id <> got.id
       AND a.state = 'pending' AND a.published_at IS NOT NULL
) AS announced, (
    SELECT array_agg(i.text ORDER BY u.place)
      FROM unnest(got.item_nos) WITH ORDINALITY AS u (item_no, place)
      JOIN items i ON i.run_id = got.run_id AND i.item_no = u.item_no
) AS texts FROM got
""")
# A message that was consumed while its tier is paused is gone: the sweep announces the chunk again after the pause.
_UNPUBLISH = sa.text("UPDATE chunks SET published_at = NULL WHERE id = :id AND state = 'pending'")
_RENEW = sa.text("""
UPDATE chunks SET lease_until = now() + make_interval(secs => :lease_s)
 WHERE id = :id AND fence = :fence AND state = 'claimed'
""")
_HELD = sa.text("SELECT state = 'claimed' AND fence = :fence FROM chunks WHERE id = :id FOR UPDATE")
_DONE = sa.text("UPDATE chunks SET state = 'done', done_at = now(), lease_until = NULL WHERE id = :id")
_REDUCE = sa.text("""
UPDATE chunks SET state = 'pending', lease_until = NULL, published_at = NULL, claims = claims - 1,
       item_nos = :item_nos, step_masks = :masks
 WHERE id = :id
""")


def claim(database: Database, chunk_id: int, *, worker: str, lease_s: float) -> ClaimedChunk | None:
    """Take a chunk and read its texts in one statement; None when there is nothing to do."""
    with database.begin() as connection:
        row = connection.execute(_CLAIM, {"id": chunk_id, "worker": worker, "lease_s": lease_s}).one_or_none()
        if row is None:
            connection.execute(_UNPUBLISH, {"id": chunk_id})
            return None
        return ClaimedChunk(
            chunk_id=row.id,
            run_id=row.run_id,
            tier_no=row.tier_no,
            generation=row.generation,
            fence=row.fence,
            claims=row.claims,
            item_nos=tuple(row.item_nos),
            step_masks=tuple(row.step_masks),
            texts=tuple(row.texts),
            announced=row.announced,
        )


def renew(database: Database, claimed: ClaimedChunk, *, lease_s: float) -> bool:
    """Hold on to a claim; False when it was lost to another."""
    with database.begin() as connection:
        done = connection.execute(_RENEW, {"id": claimed.chunk_id, "fence": claimed.fence, "lease_s": lease_s})
        return bool(done.rowcount == 1)


def commit(database: Database, judged: JudgedChunk) -> Committed:
    """Record all that a chunk became in one transaction, if the fence still holds."""
    claimed = judged.claimed
    with database.begin() as connection:
        held = connection.scalar(_HELD, {"id": claimed.chunk_id, "fence": claimed.fence})
        if not held:
            settle_call(connection, claimed, _book_refused(connection, judged))
            return Committed(accepted=False)
        settle_call(connection, claimed, [entry.cost_usd for entry in judged.ledger])
        copy_rows(connection, tables.ledger, _LEDGER_COLUMNS, _ledger_rows(judged, refused=False))
        copy_rows(connection, tables.attempts, _ATTEMPT_COLUMNS, _attempt_rows(judged))
        copy_rows(connection, tables.verdicts, _VERDICT_COLUMNS, _verdict_rows(judged))
        resumed = len(judged.attempts) > judged.reused and end_pauses(connection, claimed)
        waiting = list(_escalation_rows(judged))
        copy_rows(connection, tables.escalations, _ESCALATION_COLUMNS, waiting)
        if judged.remaining:
            item_nos, masks = zip(*judged.remaining, strict=True)
            connection.execute(_REDUCE, {"id": claimed.chunk_id, "item_nos": list(item_nos), "masks": list(masks)})
        else:
            connection.execute(_DONE, {"id": claimed.chunk_id})
        return Committed(accepted=True, notices=_full_chunks(connection, claimed, waiting), resumed=resumed)


def _book_refused(connection: sa.Connection, judged: JudgedChunk) -> list[Decimal | None]:
    """Book what was spent on answers that came too late; returns the costs that were not booked already.

    A commit whose answer was lost on the way is sent again, and is booked and settled already.
    """
    rows = [dict(zip(_LEDGER_COLUMNS, row, strict=True)) for row in _ledger_rows(judged, refused=True)]
    if not rows:
        return []
    new = insert(tables.ledger).values(rows).on_conflict_do_nothing().returning(tables.ledger.c.cost_usd)
    return list(connection.scalars(new))


def _full_chunks(
    connection: sa.Connection, claimed: ClaimedChunk, waiting: Sequence[tuple[int, ...]]
) -> tuple[ChunkNotice, ...]:
    if not waiting:
        return ()
    run = records.fetch_run(connection, claimed.run_id)
    made: list[ChunkNotice] = []
    for tier_no in sorted({row[1] for row in waiting}):
        made += gather(connection, run, tier_no, claimed.generation, partial=False)
    return tuple(made)


def _ledger_rows(judged: JudgedChunk, *, refused: bool) -> Iterator[tuple[Any, ...]]:
    claimed = judged.claimed
    for entry in judged.ledger:
        call = entry.call
        yield (
            call.id,
            claimed.run_id,
            claimed.chunk_id,
            claimed.fence,
            claimed.tier_no,
            storable(call.model),
            call.tokens_in,
            call.tokens_cached,
            call.tokens_out,
            call.seconds,
            entry.cost_usd,
            entry.price_version,
            refused,
        )


def _attempt_rows(judged: JudgedChunk) -> Iterator[tuple[Any, ...]]:
    claimed = judged.claimed
    for attempt, cost_usd in zip(judged.attempts, attempt_costs(judged.attempts, judged.ledger), strict=True):
        given, outcome = attempt.given, attempt.outcome
        malformed = given.answer if isinstance(given.answer, Malformed) else None
        yield (
            claimed.run_id,
            attempt.item_no,
            attempt.step_no,
            claimed.tier_no,
            _ANSWER,
            claimed.generation,
            claimed.chunk_id,
            attempt.call_id,
            judged.policy_version,
            type(outcome).__name__.lower(),
            outcome.reason if isinstance(outcome, Escalation | Unresolved) else None,
            outcome.to_tier if isinstance(outcome, Escalation) else None,
            None if isinstance(given.answer, Malformed) else to_json(given.answer),
            None if malformed is None else storable(malformed.detail),
            None if given.raw_score is None else given.raw_score.value,
            None if attempt.confidence is None else attempt.confidence.value,
            attempt.confidence is not None and attempt.confidence.calibrated,
            {name: confidence.value for name, confidence in attempt.field_confidences.items()} or None,
            given.usage.tokens_in,
            given.usage.tokens_cached,
            given.usage.tokens_out,
            cost_usd,
            given.truncated,
        )


def _verdict_rows(judged: JudgedChunk) -> Iterator[tuple[Any, ...]]:
    claimed = judged.claimed
    for attempt in judged.attempts:
        if isinstance(attempt.outcome, Verdict | Unresolved):
            state = type(attempt.outcome).__name__.lower()
            place = (attempt.item_no, attempt.step_no, claimed.tier_no)
            yield (claimed.run_id, *place, _ANSWER, claimed.generation, state)


def _escalation_rows(judged: JudgedChunk) -> Iterator[tuple[int, ...]]:
    claimed = judged.claimed
    for attempt in judged.attempts:
        if isinstance(attempt.outcome, Escalation):
            to_tier = attempt.outcome.to_tier
            yield (claimed.run_id, to_tier, claimed.generation, attempt.item_no, attempt.step_no)
