"""What people order: retry and cancel."""

import sqlalchemy as sa

from pipeline.adapters.postgres.certify import release
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.gather import gather
from pipeline.adapters.postgres.keeping import refuse_erased
from pipeline.adapters.postgres.records import fetch_run
from pipeline.domain.errors import ConfigError
from pipeline.domain.forgetting import texts_gone
from pipeline.domain.job import steps_of
from pipeline.domain.runs import ENDED_STATES, FINAL_STATES, PAUSED_BY_HAND, RunState

_REOPEN = sa.text("""
UPDATE chunks SET state = 'pending', published_at = NULL, not_before = NULL, claims = 0
 WHERE run_id = :run AND state IN ('dead', 'cancelled') RETURNING step_masks
""")
_WITHDRAW = sa.text("""
DELETE FROM verdicts v USING items i
 WHERE v.run_id = :run AND v.state IN ('unresolved', 'uncertified') AND i.run_id = v.run_id AND i.item_no = v.item_no
   AND i.text <> ''
RETURNING v.item_no, v.step_no, v.generation
""")
_UNRESOLVED = sa.text("""
SELECT EXISTS (SELECT FROM verdicts WHERE run_id = :run AND state IN ('unresolved', 'uncertified'))
""")
_ASK_AGAIN = sa.text("""
INSERT INTO escalations (run_id, tier_no, generation, item_no, step_no)
VALUES (:run, :tier, :generation, :item, :step)
""")
_STATE = sa.text("UPDATE runs SET state = :state, reason = NULL, finished_at = NULL WHERE id = :run")
_GO_ON = sa.text("DELETE FROM pauses WHERE run_id = :run AND until = 'infinity'")
_PAUSE = sa.text("""
UPDATE runs SET state = 'held', reason = :reason WHERE id = :run AND state IN ('ingesting', 'running')
""")
_CANCEL = sa.text("""
UPDATE chunks SET state = 'cancelled', lease_until = NULL
 WHERE run_id = :run AND state IN ('pending', 'claimed')
""")
_CANCELLED = sa.text("UPDATE runs SET state = 'cancelled', reason = :reason, finished_at = now() WHERE id = :run")


def retry(database: Database, run_id: int, *, unresolved: bool) -> int:
    """Take up what was cancelled or dead and, if asked, ask the unresolved again; returns how many (item, step)."""
    with database.begin() as connection:
        run = fetch_run(connection, run_id, lock=True)
        refuse_erased(connection, run)
        reopened = connection.scalars(_REOPEN, {"run": run_id}).all()
        asked = sum(len(steps_of(mask)) for masks in reopened for mask in masks)
        if unresolved:
            asked += _ask_unresolved(connection, run_id)
            if not asked and connection.scalar(_UNRESOLVED, {"run": run_id}):
                raise ConfigError(texts_gone(run.name))
        asked += release(connection, run)
        connection.execute(_GO_ON, {"run": run_id})
        if run.state in ENDED_STATES and (asked or run.state is not RunState.DONE):
            state = RunState.RUNNING if run.ingested else RunState.INGESTING
            connection.execute(_STATE, {"run": run_id, "state": state.value})
        return asked


def _ask_unresolved(connection: sa.Connection, run_id: int) -> int:
    """Withdraw the unresolved and put them before the top tier of their ladder, as a new generation."""
    run = fetch_run(connection, run_id)
    withdrawn = connection.execute(_WITHDRAW, {"run": run_id}).all()
    rows = [
        {
            "run": run_id,
            "tier": run.job.ladder(row.step_no)[-1],
            "generation": row.generation + 1,
            "item": row.item_no,
            "step": row.step_no,
        }
        for row in withdrawn
    ]
    if rows:
        connection.execute(_ASK_AGAIN, rows)
    for tier_no, generation in sorted({(row["tier"], row["generation"]) for row in rows}):
        gather(connection, run, tier_no, generation, partial=True)
    return len(rows)


def pause(database: Database, run_id: int) -> bool:
    """Hold a run that is at work; returns whether it was."""
    with database.begin() as connection:
        run = fetch_run(connection, run_id, lock=True)
        reason = f"{PAUSED_BY_HAND} {run.name}"
        return bool(connection.execute(_PAUSE, {"run": run_id, "reason": reason}).rowcount)


def resume(database: Database, run_id: int) -> bool:
    """Let a run go on that was paused by hand; returns whether it was."""
    with database.begin() as connection:
        run = fetch_run(connection, run_id, lock=True)
        if run.state is not RunState.HELD or not (run.reason or "").startswith(PAUSED_BY_HAND):
            return False
        state = RunState.RUNNING if run.ingested else RunState.INGESTING
        connection.execute(_STATE, {"run": run_id, "state": state.value})
        return True


def cancel(database: Database, run_id: int) -> int:
    """Stop a run; what was answered stays."""
    with database.begin() as connection:
        run = fetch_run(connection, run_id, lock=True)
        return 0 if run.state in FINAL_STATES else stop(connection, run_id, reason=None)


def stop(connection: sa.Connection, run_id: int, *, reason: str | None) -> int:
    """Cancel what is open of a run that is locked; returns how many chunks."""
    stopped = connection.execute(_CANCEL, {"run": run_id}).rowcount
    connection.execute(_CANCELLED, {"run": run_id, "reason": reason})
    return int(stopped)
