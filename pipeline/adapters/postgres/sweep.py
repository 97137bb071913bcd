"""What keeps a run going: flushes, what is taken back, and the end of a run."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from pipeline.adapters.postgres import broken, records
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.gather import gather
from pipeline.adapters.postgres.money import held_for_money
from pipeline.domain.budget import OVER_CAP
from pipeline.domain.dead import dead_reason
from pipeline.domain.errors import ConservationError
from pipeline.domain.runs import WORKING_STATES, RunState
from pipeline.ports.store import ChunkNotice, RunRecord

_OPEN = sa.text("""
SELECT (SELECT min(tier_no) FROM chunks WHERE run_id = :run AND state IN ('pending', 'claimed')) AS lowest_open,
       (SELECT min(tier_no) FROM escalations WHERE run_id = :run) AS lowest_waiting,
       (SELECT coalesce(sum(cardinality(item_nos)), 0) FROM chunks WHERE run_id = :run AND state = 'dead') AS dead,
       (SELECT coalesce(sum(cardinality(item_nos)), 0) FROM chunks
         WHERE run_id = :run AND state = 'dead' AND starts_with(failure, :over_cap)) AS over_cap
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
 GROUP BY tier_no, generation
HAVING min(since) <= now() - make_interval(secs => :age_s) OR max(since) > now() + interval '1 s'
 ORDER BY tier_no, generation
""")

_WORKERS = sa.text("""
SELECT DISTINCT c.claimed_by FROM chunks c JOIN runs r ON r.id = c.run_id
 WHERE c.state = 'claimed' AND r.state IN ('ingesting', 'running') ORDER BY 1
""")


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
        here = _open(connection, run_id)
        if run.state not in WORKING_STATES or not run.ingested:
            return run.state, ()
        waiting, lowest_open = here.lowest_waiting, here.lowest_open
        if waiting is not None and (lowest_open is None or lowest_open >= waiting):
            return run.state, tuple(_flush(connection, run, only_tier=waiting, older_than_s=0.0))
        if waiting is not None or lowest_open is not None:
            return run.state, ()
        if not here.dead and connection.scalar(_HOLDING, {"run": run_id}):
            return run.state, ()  # what is held waits for its certificate
        reason = dead_reason(run.name, here.dead, over_cap=here.over_cap) if here.dead else None
        state, reason, wrong = _verdict_on_run(connection, run, dead=reason)
        connection.execute(_FINISH, {"run": run_id, "state": state.value, "reason": reason})
    if wrong:
        raise ConservationError(reason or "")
    return state, ()


def _open(connection: sa.Connection, run_id: int) -> "sa.Row[Any]":
    return connection.execute(_OPEN, {"run": run_id, "over_cap": OVER_CAP}).one()


def _is_idle(connection: sa.Connection, run_id: int) -> bool:
    """Whether some tier has nothing more to expect from below: only then is there anything to settle."""
    here = _open(connection, run_id)
    if here.lowest_open is None:
        return True
    return here.lowest_waiting is not None and here.lowest_open >= here.lowest_waiting


def _verdict_on_run(
    connection: sa.Connection, run: RunRecord, *, dead: str | None
) -> tuple[RunState, str | None, bool]:
    """Return the final state, its reason, and whether outcomes were lost or doubled."""
    if dead is not None:
        return RunState.FAILED, dead, False
    counted = connection.execute(_COUNTED, {"run": run.id, "steps": len(run.job.steps)}).one()
    if counted.asked != counted.answered:
        reason = (
            f"run {run.name}: {counted.asked} outcomes were due, {counted.answered} are there: please report this bug"
        )
        return RunState.FAILED, reason, True
    return RunState.DONE, None, False


def active_runs(database: Database) -> Sequence[RunRecord]:
    """Return the runs at work."""
    with database.begin() as connection:
        return records.active(connection)


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


def workers(database: Database) -> Sequence[str]:
    """Return the workers that hold chunks of active runs."""
    with database.begin() as connection:
        return [str(name) for name in connection.scalars(_WORKERS)]


def take_back(database: Database, *, dead_after: int, gone: Collection[str]) -> int:
    """Put back what dead workers hold, or its halves; returns how many chunks."""
    with database.begin() as connection:
        return broken.take_back(connection, dead_after=dead_after, gone=gone)
