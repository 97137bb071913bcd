"""What keeps a run going: pauses, flushes, what is to be announced again, and the end of a run."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pipeline.adapters.postgres import records, tables
from pipeline.adapters.postgres.broken import take_back
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.gather import gather
from pipeline.adapters.postgres.money import held_for_money
from pipeline.domain.dead import dead_reason
from pipeline.domain.errors import ConservationError
from pipeline.domain.runs import WORKING_STATES, RunState
from pipeline.ports.store import ChunkNotice, RunRecord

_PAUSE = sa.text("""
INSERT INTO pauses (run_id, tier_no, reason, until)
VALUES (:run, :tier, :reason, now() + make_interval(secs => least(:first_s, :longest_s)))
ON CONFLICT (run_id, tier_no) DO UPDATE SET reason = excluded.reason, times = pauses.times + 1,
       until = now() + make_interval(secs => least(:first_s * 2 ^ least(pauses.times, 30), :longest_s))
RETURNING extract(epoch FROM until - now())
""")
_OPEN = sa.text("""
SELECT (SELECT min(tier_no) FROM chunks WHERE run_id = :run AND state IN ('pending', 'claimed')) AS lowest_open,
       (SELECT min(tier_no) FROM escalations WHERE run_id = :run) AS lowest_waiting,
       (SELECT coalesce(sum(cardinality(item_nos)), 0) FROM chunks WHERE run_id = :run AND state = 'dead') AS dead
""")
_HOLDING = sa.text("SELECT EXISTS (SELECT FROM attempts WHERE run_id = :run AND outcome = 'held')")
_COUNTED = sa.text("""
SELECT (SELECT count(*) FROM items WHERE run_id = :run AND copy_of IS NULL AND forgotten_at IS NULL) * :steps
           AS asked,
       (SELECT count(*) FROM verdicts WHERE run_id = :run) AS answered
""")
_FINISH = sa.text("UPDATE runs SET state = :state, reason = :reason, finished_at = now() WHERE id = :run")
_WAITING = sa.text("""
SELECT tier_no, generation FROM escalations WHERE run_id = :run
 GROUP BY tier_no, generation HAVING min(since) <= now() - make_interval(secs => :age_s) ORDER BY tier_no, generation
""")
_UNPUBLISHED = sa.text("""
SELECT id, run_id, tier_no, size FROM (
    SELECT c.id, c.run_id, c.tier_no, cardinality(c.item_nos) AS size, p.until,
           row_number() OVER (PARTITION BY c.run_id, c.tier_no ORDER BY c.id) AS place
      FROM chunks c JOIN runs r ON r.id = c.run_id
      LEFT JOIN pauses p ON p.run_id = c.run_id AND p.tier_no = c.tier_no
     WHERE r.state IN ('ingesting', 'running') AND c.state = 'pending' AND c.published_at IS NULL
       AND c.created_at <= now() - make_interval(secs => :grace_s)
) AS due
 WHERE until IS NULL OR (until <= now() AND place = 1)
 ORDER BY id LIMIT :limit
""")
_PUBLISHED_PENDING = sa.text("""
SELECT c.id, c.run_id, c.tier_no, cardinality(c.item_nos) AS size
  FROM chunks c JOIN runs r ON r.id = c.run_id
 WHERE r.state IN ('ingesting', 'running') AND c.state = 'pending' AND c.pool = :pool
   AND c.published_at <= now() - make_interval(secs => :age_s)
 ORDER BY c.id
""")
_POOLS = sa.text("""
SELECT DISTINCT c.pool FROM chunks c JOIN runs r ON r.id = c.run_id
 WHERE r.state IN ('ingesting', 'running') AND c.state = 'pending' AND c.published_at IS NOT NULL
""")
_MARK = sa.text("UPDATE chunks SET published_at = now() WHERE id = ANY(:ids) AND state = 'pending'")


def pause_tier(
    database: Database, run_id: int, tier_no: int, *, reason: str, first_s: float, longest_s: float
) -> float:
    """Pause a tier of a run, twice as long each time in a row; returns for how many seconds."""
    with database.begin() as connection:
        values = {"run": run_id, "tier": tier_no, "reason": reason, "first_s": first_s, "longest_s": longest_s}
        return float(connection.execute(_PAUSE, values).scalar_one())


def settle(database: Database, run_id: int) -> tuple[RunState, tuple[ChunkNotice, ...]]:
    """Send on what waits for a tier to which nothing more can come, and finish the run if nothing is open."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id)
        if run.state not in WORKING_STATES or not run.ingested:
            return run.state, ()
        if held_for_money(connection, run_id):
            return RunState.HELD, ()
        if not _is_idle(connection, run_id):
            return run.state, ()
        # Looked at again under the run's lock: two workers may both have seen the last chunk done.
        run = records.fetch_run(connection, run_id, lock=True)
        here = connection.execute(_OPEN, {"run": run_id}).one()
        if run.state not in WORKING_STATES or not run.ingested:
            return run.state, ()
        waiting, lowest_open = here.lowest_waiting, here.lowest_open
        if waiting is not None and (lowest_open is None or lowest_open >= waiting):
            return run.state, tuple(_flush(connection, run, only_tier=waiting, older_than_s=0.0))
        if waiting is not None or lowest_open is not None:
            return run.state, ()
        if not here.dead and connection.scalar(_HOLDING, {"run": run_id}):
            return run.state, ()  # what is held waits for its certificate
        state, reason, wrong = _verdict_on_run(connection, run, dead=here.dead)
        connection.execute(_FINISH, {"run": run_id, "state": state.value, "reason": reason})
    if wrong:
        raise ConservationError(reason or "")
    return state, ()


def _is_idle(connection: sa.Connection, run_id: int) -> bool:
    """Whether some tier has nothing more to expect from below: only then is there anything to settle."""
    here = connection.execute(_OPEN, {"run": run_id}).one()
    if here.lowest_open is None:
        return True
    return here.lowest_waiting is not None and here.lowest_open >= here.lowest_waiting


def _verdict_on_run(connection: sa.Connection, run: RunRecord, *, dead: int) -> tuple[RunState, str | None, bool]:
    """Return the final state, its reason, and whether outcomes were lost or doubled."""
    if dead:
        reason = dead_reason(run.name, dead)
        return RunState.FAILED, reason, False
    counted = connection.execute(_COUNTED, {"run": run.id, "steps": len(run.job.steps)}).one()
    if counted.asked != counted.answered:
        reason = (
            f"run {run.name}: {counted.asked} outcomes were due, {counted.answered} are there: please report this bug"
        )
        return RunState.FAILED, reason, True
    return RunState.DONE, None, False


def active_runs(database: Database) -> Sequence[RunRecord]:
    """Return the runs at work."""
    states = [state.value for state in WORKING_STATES]
    with database.begin() as connection:
        rows = connection.execute(
            sa.select(tables.runs).where(tables.runs.c.state.in_(states)).order_by(tables.runs.c.id)
        )
        return [records.run_record(row, row.name) for row in rows]


def flush(database: Database, run_id: int, *, older_than_s: float) -> tuple[ChunkNotice, ...]:
    """Make chunks, full or not, of the escalations that have waited this long."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id)
        return tuple(_flush(connection, run, only_tier=None, older_than_s=older_than_s))


def _flush(
    connection: sa.Connection, run: RunRecord, *, only_tier: int | None, older_than_s: float
) -> list[ChunkNotice]:
    made: list[ChunkNotice] = []
    for row in connection.execute(_WAITING, {"run": run.id, "age_s": older_than_s}).all():
        if only_tier is None or row.tier_no == only_tier:
            made += gather(connection, run, row.tier_no, row.generation, partial=True)
    return made


def unpublished(database: Database, *, grace_s: float, dead_after: int, limit: int) -> Sequence[ChunkNotice]:
    """Take back what a dead worker holds and return all that is to be announced."""
    with database.begin() as connection:
        take_back(connection, dead_after=dead_after)
        return _notices(connection, connection.execute(_UNPUBLISHED, {"grace_s": grace_s, "limit": limit}).all())


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


def mark_published(database: Database, chunk_ids: Sequence[int]) -> None:
    """Remember that these chunks were announced."""
    if chunk_ids:
        with database.begin() as connection:
            connection.execute(_MARK, {"ids": list(chunk_ids)})
