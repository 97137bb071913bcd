"""Held answers, from drawing to thresholds: the acts of ports.store.CertifyStore."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import records, tables
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.gather import gather
from pipeline.adapters.postgres.windows import AT_REST, is_next, next_windows, place_of
from pipeline.domain.audit import Audited
from pipeline.domain.certify import Certificate, Drawing
from pipeline.domain.decisions import ON_HOLD, Decision, decision_json, drawing_json
from pipeline.domain.outcomes import AUDITED, DRAWN, LOW_CONFIDENCE
from pipeline.domain.policy import FIRST_VERSION
from pipeline.domain.runs import RunState
from pipeline.ports.store import ChunkNotice, RunRecord, Window

_SEND_UP = """
UPDATE attempts SET outcome = 'escalation', reason = :reason, to_tier = :top, policy_version = :version
 WHERE run_id = :run AND step_no = :step AND outcome = 'held' AND {which}
RETURNING run_id, item_no, step_no, generation
"""
_WAIT = """
WITH up AS ({moved})
INSERT INTO escalations (run_id, tier_no, generation, item_no, step_no)
SELECT run_id, :top, generation, item_no, step_no FROM up RETURNING generation
"""
_DRAW = sa.text(_WAIT.format(moved=_SEND_UP.format(which="item_no = ANY(:items)")))
_AUDIT = sa.text(
    _WAIT.format(moved=_SEND_UP.format(which="item_no = ANY(:items) AND item_no >= :first AND item_no < :until"))
)
_LET_UP = sa.text(_WAIT.format(moved=_SEND_UP.format(which="item_no >= :first AND item_no < :until")))
_STAND = sa.text("""
WITH limits AS (
    SELECT tier_no, threshold
      FROM unnest(CAST(:tiers AS smallint[]), CAST(:thresholds AS float8[])) AS u (tier_no, threshold)
), stood AS (
    UPDATE attempts a SET outcome = 'verdict', policy_version = :version FROM limits l
     WHERE a.run_id = :run AND a.step_no = :step AND a.outcome = 'held' AND a.tier_no = l.tier_no
       AND a.item_no >= :first AND a.item_no < :until AND a.confidence >= l.threshold
    RETURNING a.run_id, a.item_no, a.step_no, a.tier_no, a.purpose, a.generation
)
INSERT INTO verdicts (run_id, item_no, step_no, tier_no, purpose, generation, state)
SELECT *, 'verdict' FROM stood
""")
_VERSION = sa.text("SELECT coalesce(max(version), 0) + 1 FROM policy_versions WHERE run_id = :run")
_HOLD = sa.text("UPDATE runs SET state = 'held', reason = :reason WHERE id = :run")
_REFUSED = sa.text("""
SELECT d.step_no, d.first_item, d.until_item, d.version FROM drawings d
 WHERE d.run_id = :run AND d.version IS NOT NULL
   AND EXISTS (SELECT FROM attempts a WHERE a.run_id = d.run_id AND a.step_no = d.step_no AND a.outcome = 'held'
                AND a.item_no >= d.first_item AND a.item_no < d.until_item)
""")


def wait(database: Database, run_id: int, reason: str) -> bool:
    """Hold a running run until somebody does what the reason says."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id, lock=True)
        if run.state is not RunState.RUNNING:
            return False
        connection.execute(_HOLD, {"run": run_id, "reason": reason})
        return True


def hold_refused(database: Database, run_id: int) -> bool:
    """Hold a run at rest again in which a refused promise keeps answers back."""
    with database.begin() as connection:
        if not connection.execute(_REFUSED, {"run": run_id}).all():  # nearly always: no need to lock the run
            return False
        run = records.fetch_run(connection, run_id, lock=True)
        at_rest = run.state is RunState.RUNNING and run.ingested and connection.scalar(AT_REST, {"run": run_id})
        if not at_rest or next_windows(connection, run) or not connection.execute(_REFUSED, {"run": run_id}).all():
            return False
        connection.execute(_HOLD, {"run": run_id, "reason": ON_HOLD})
        return True


def draw(
    database: Database, run_id: int, window: Window, drawing: Drawing, item_nos: Sequence[int]
) -> tuple[ChunkNotice, ...] | None:
    """Draw these items and send the held ones among them to the last tier."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id, lock=True)
        if not is_next(connection, run, window) or window.drawing is not None:
            return None
        _keep(connection, run_id, window, drawing, item_nos)
        values = {**place_of(run_id, window), "items": list(item_nos), "reason": DRAWN, "version": FIRST_VERSION}
        return _sent(connection, run, window.step_no, _DRAW, values)


def _keep(
    connection: sa.Connection, run_id: int, window: Window, drawing: Drawing | None, item_nos: Sequence[int]
) -> None:
    values = {
        "run_id": run_id,
        "step_no": window.step_no,
        "number": window.number,
        "first_item": window.first_item,
        "until_item": window.until_item,
        "items": window.items,
        "plan": {} if drawing is None else drawing_json(drawing),
        "item_nos": list(item_nos),
    }
    connection.execute(insert(tables.drawings).values(values).on_conflict_do_nothing())


def _sent(
    connection: sa.Connection, run: RunRecord, step_no: int, statement: sa.TextClause, values: dict[str, Any]
) -> tuple[ChunkNotice, ...]:
    top = run.job.ladder(step_no)[-1]
    generations = set(connection.scalars(statement, {**values, "top": top}))
    return tuple(
        notice for number in sorted(generations) for notice in gather(connection, run, top, number, partial=True)
    )


def keep_audit(database: Database, run_id: int, window: Window, audit: Audited) -> bool:
    """Keep what the audit of a decided window came to; returns whether this was the first."""
    drawings = tables.drawings
    place = (drawings.c.run_id == run_id, drawings.c.step_no == window.step_no, drawings.c.number == window.number)
    with database.begin() as connection:
        done = connection.execute(
            drawings.update().where(*place, drawings.c.audit.is_(None)).values(audit=asdict(audit))
        )
        return done.rowcount == 1


def conclude(
    database: Database, run_id: int, window: Window, decision: Decision, *, hold: bool, audited: Collection[int]
) -> tuple[ChunkNotice, ...] | None:
    """Make a PolicyVersion of a decision, and let held answers stand or go up by it; None where one was made."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id, lock=True)
        if not is_next(connection, run, window):
            return None
        _keep(connection, run_id, window, None, ())
        version = int(connection.execute(_VERSION, {"run": run_id}).scalar_one())
        _decide(connection, run_id, window, decision, version)
        place = {**place_of(run_id, window), "reason": LOW_CONFIDENCE, "version": version}
        watched: tuple[ChunkNotice, ...] = ()
        if isinstance(decision, Certificate):
            watched = _sent(
                connection, run, window.step_no, _AUDIT, {**place, "reason": AUDITED, "items": sorted(audited)}
            )
            tiers = list(run.job.ladder(window.step_no)[:-1])
            thresholds = list(decision.thresholds)
            connection.execute(_STAND, {**place, "tiers": tiers, "thresholds": thresholds})
        elif hold:
            connection.execute(_HOLD, {"run": run_id, "reason": ON_HOLD})
            return ()
        return watched + _sent(connection, run, window.step_no, _LET_UP, place)


def _decide(connection: sa.Connection, run_id: int, window: Window, decision: Decision, version: int) -> None:
    kept = decision_json(decision)
    tiers = records.fetch_run(connection, run_id).job.ladder(window.step_no)[:-1]
    thresholds = [
        [window.step_no, tier_no, value] for tier_no, value in zip(tiers, kept.get("thresholds", ()), strict=False)
    ]
    connection.execute(
        tables.policy_versions.insert(),
        {"run_id": run_id, "version": version, "thresholds": thresholds, "certified": kept["certified"]},
    )
    drawings = tables.drawings
    connection.execute(
        drawings.update()
        .where(drawings.c.run_id == run_id, drawings.c.step_no == window.step_no, drawings.c.number == window.number)
        .values(decision=kept, version=version, decided_at=sa.func.now())
    )


def release(connection: sa.Connection, run: RunRecord) -> int:
    """Let go up what refused promises hold back; returns how many answers."""
    released = 0
    for row in connection.execute(_REFUSED, {"run": run.id}).all():
        values = {"run": run.id, "step": row.step_no, "first": row.first_item, "until": row.until_item}
        values |= {"reason": LOW_CONFIDENCE, "version": row.version}
        notices = _sent(connection, run, row.step_no, _LET_UP, values)
        released += sum(notice.items for notice in notices)
    return released
