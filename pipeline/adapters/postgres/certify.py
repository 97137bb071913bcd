"""Held answers, from drawing to thresholds."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import records, tables
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.gather import gather
from pipeline.domain.answers import Plain, from_json
from pipeline.domain.audit import Audited
from pipeline.domain.certify import Certificate, Drawing
from pipeline.domain.decisions import ON_HOLD, Decision, decision_from, decision_json, drawing_from, drawing_json
from pipeline.domain.outcomes import AUDITED, DRAWN, LOW_CONFIDENCE
from pipeline.domain.policy import FIRST_VERSION
from pipeline.domain.runs import RunState
from pipeline.ports.store import ChunkNotice, Concluded, DrawnAnswer, HeldAnswers, RunRecord, Window

_AT_REST = sa.text("""
SELECT NOT EXISTS (SELECT FROM chunks WHERE run_id = :run AND state IN ('pending', 'claimed', 'dead'))
   AND NOT EXISTS (SELECT FROM escalations WHERE run_id = :run)
""")
_HELD_STEPS = sa.text("SELECT DISTINCT step_no FROM attempts WHERE run_id = :run AND outcome = 'held' ORDER BY step_no")
_LATEST = sa.text("SELECT * FROM drawings WHERE run_id = :run AND step_no = :step ORDER BY number DESC LIMIT 1")
_ASKED = sa.text("""
SELECT count(*) FROM items i
 WHERE i.run_id = :run AND i.item_no >= :first AND i.item_no < :until AND i.copy_of IS NULL
   AND NOT EXISTS (SELECT FROM verdicts v WHERE v.run_id = i.run_id AND v.item_no = i.item_no AND v.step_no = :step
                    AND v.state = 'unresolved')
""")
_HELD = sa.text("""
SELECT item_no, tier_no, confidence, calibrated FROM attempts
 WHERE run_id = :run AND step_no = :step AND outcome = 'held' AND item_no >= :first AND item_no < :until
 ORDER BY item_no
""")
_HELD_VALUES = sa.text("""
SELECT answer FROM attempts
 WHERE run_id = :run AND step_no = :step AND outcome = 'held' AND item_no >= :first AND item_no < :until
 ORDER BY item_no
""")
_ANSWERED = sa.text("""
SELECT item_no FROM verdicts
 WHERE run_id = :run AND step_no = :step AND state = 'verdict' AND item_no >= :first AND item_no < :until
UNION
SELECT item_no FROM attempts
 WHERE run_id = :run AND step_no = :step AND outcome = 'held' AND item_no >= :first AND item_no < :until
 ORDER BY item_no
""")
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
_BOTH = """
SELECT DISTINCT ON (c.item_no) c.item_no, c.tier_no, c.confidence, c.answer, v.item_no IS NOT NULL AS stands,
       r.answer AS reference
  FROM attempts c
  LEFT JOIN verdicts v ON v.run_id = c.run_id AND v.item_no = c.item_no AND v.step_no = c.step_no
                      AND v.tier_no = c.to_tier AND v.state = 'verdict'
  LEFT JOIN attempts r ON (r.run_id, r.item_no, r.step_no, r.tier_no, r.purpose, r.generation)
                        = (v.run_id, v.item_no, v.step_no, v.tier_no, v.purpose, v.generation)
 WHERE c.run_id = :run AND c.step_no = :step AND c.reason = :reason AND {which}
 ORDER BY c.item_no
"""
_DRAWN = sa.text(_BOTH.format(which="c.item_no = ANY(:items)"))
_AUDITED = sa.text(_BOTH.format(which="c.item_no >= :first AND c.item_no < :until"))
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


def windows(database: Database, run_id: int) -> Sequence[Window]:
    """Return the windows that are next to be drawn or decided; empty unless the run is at rest."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id)
        return _windows(connection, run)


def _windows(connection: sa.Connection, run: RunRecord) -> list[Window]:
    if run.state is not RunState.RUNNING or not run.ingested:
        return []
    steps = connection.scalars(_HELD_STEPS, {"run": run.id}).all()
    if not steps or not connection.scalar(_AT_REST, {"run": run.id}):
        return []
    found = [_window(connection, run, step_no) for step_no in steps]
    return [one for one in found if one.first_item < one.until_item]


def _is_next(connection: sa.Connection, run: RunRecord, window: Window) -> bool:
    """Whether nobody drew or decided a window since it was handed out, when its run was at rest.

    The run need not be at rest any more: what another of its steps sends up changes nothing here.
    """
    running = run.state is RunState.RUNNING and run.ingested
    return running and window == _window(connection, run, window.step_no)


def _window(connection: sa.Connection, run: RunRecord, step_no: int) -> Window:
    latest = connection.execute(_LATEST, {"run": run.id, "step": step_no}).one_or_none()
    if latest is not None and latest.version is None:
        return _drawn_window(latest)
    first = 0 if latest is None else latest.until_item
    place = {"run": run.id, "step": step_no, "first": first, "until": run.rows_read}
    asked = connection.scalar(_ASKED, place)
    return Window(
        step_no=step_no,
        number=0 if latest is None else latest.number + 1,
        first_item=first,
        until_item=run.rows_read,
        items=int(asked or 0),
    )


def _drawn_window(row: "sa.Row[Any]") -> Window:
    return Window(
        step_no=row.step_no,
        number=row.number,
        first_item=row.first_item,
        until_item=row.until_item,
        items=row.items,
        drawing=drawing_from(row.plan) if row.plan else None,
        drawn=tuple(row.item_nos),
    )


def held(database: Database, run_id: int, window: Window) -> HeldAnswers:
    """Return a window's held answers."""
    with database.begin() as connection:
        rows = connection.execute(_HELD, _place(run_id, window)).all()
    return HeldAnswers(
        item_nos=np.array([row.item_no for row in rows], dtype=np.int64),
        tier_nos=np.array([row.tier_no for row in rows], dtype=np.int64),
        confidences=np.array([row.confidence for row in rows], dtype=np.float64),
        calibrated=np.array([row.calibrated for row in rows], dtype=np.bool_),
    )


def held_values(database: Database, run_id: int, window: Window) -> Sequence[Plain]:
    """Return what a window's held answers say."""
    with database.begin() as connection:
        return [from_json(answer).value for answer in connection.scalars(_HELD_VALUES, _place(run_id, window))]


def answered(database: Database, run_id: int, window: Window) -> NDArray[np.int64]:
    """Return the numbers of a window's items that have an answer, held or standing."""
    with database.begin() as connection:
        return np.array(connection.scalars(_ANSWERED, _place(run_id, window)).all(), dtype=np.int64)


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
        run = records.fetch_run(connection, run_id, lock=True)
        at_rest = run.state is RunState.RUNNING and run.ingested and connection.scalar(_AT_REST, {"run": run_id})
        if not at_rest or _windows(connection, run) or not connection.execute(_REFUSED, {"run": run_id}).all():
            return False
        connection.execute(_HOLD, {"run": run_id, "reason": ON_HOLD})
        return True


def draw(
    database: Database, run_id: int, window: Window, drawing: Drawing, item_nos: Sequence[int]
) -> tuple[ChunkNotice, ...] | None:
    """Draw these items and send the held ones among them to the last tier."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id, lock=True)
        if not _is_next(connection, run, window) or window.drawing is not None:
            return None
        _keep(connection, run_id, window, drawing, item_nos)
        values = {**_place(run_id, window), "items": list(item_nos), "reason": DRAWN, "version": FIRST_VERSION}
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


def drawn_answers(database: Database, run_id: int, window: Window) -> Sequence[DrawnAnswer]:
    """Return what was found of a window's drawn items."""
    values = {**_place(run_id, window), "items": list(window.drawn), "reason": DRAWN}
    return _both(database, _DRAWN, values)


def audited_answers(database: Database, run_id: int, window: Window) -> Sequence[DrawnAnswer]:
    """Return what was found of a window's audited items."""
    return _both(database, _AUDITED, {**_place(run_id, window), "reason": AUDITED})


def keep_audit(database: Database, run_id: int, window: Window, audit: Audited) -> bool:
    """Keep what the audit of a decided window came to; returns whether this was the first."""
    drawings = tables.drawings
    place = (drawings.c.run_id == run_id, drawings.c.step_no == window.step_no, drawings.c.number == window.number)
    with database.begin() as connection:
        done = connection.execute(
            drawings.update().where(*place, drawings.c.audit.is_(None)).values(audit=asdict(audit))
        )
        return done.rowcount == 1


def _both(database: Database, query: sa.TextClause, values: dict[str, Any]) -> Sequence[DrawnAnswer]:
    with database.begin() as connection:
        return [
            DrawnAnswer(
                item_no=row.item_no,
                tier_no=row.tier_no,
                confidence=row.confidence,
                answer=from_json(row.answer),
                reference=from_json(row.reference) if row.stands else None,
            )
            for row in connection.execute(query, values)
        ]


def conclude(
    database: Database, run_id: int, window: Window, decision: Decision, *, hold: bool, audited: Collection[int]
) -> tuple[ChunkNotice, ...] | None:
    """Make a PolicyVersion of a decision, and let held answers stand or go up by it; None where one was made."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id, lock=True)
        if not _is_next(connection, run, window):
            return None
        _keep(connection, run_id, window, None, ())
        version = int(connection.execute(_VERSION, {"run": run_id}).scalar_one())
        _decide(connection, run_id, window, decision, version)
        place = {**_place(run_id, window), "reason": LOW_CONFIDENCE, "version": version}
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


def concluded(database: Database, run_id: int) -> Sequence[Concluded]:
    """Return the windows that were decided, in the order of their versions."""
    drawings = tables.drawings
    query = (
        sa.select(drawings)
        .where(drawings.c.run_id == run_id, drawings.c.version.is_not(None))
        .order_by(drawings.c.version)
    )
    with database.begin() as connection:
        return [
            Concluded(
                window=_drawn_window(row),
                decision=decision_from(row.decision),
                version=row.version,
                audit=Audited(**row.audit) if row.audit else None,
            )
            for row in connection.execute(query)
        ]


def _place(run_id: int, window: Window) -> dict[str, Any]:
    return {"run": run_id, "step": window.step_no, "first": window.first_item, "until": window.until_item}
