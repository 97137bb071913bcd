"""Windows of a run at rest, and what is known of the answers in them: the reading half of ports.store.CertifyStore."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from pipeline.adapters.postgres import records, tables
from pipeline.adapters.postgres.database import Database
from pipeline.domain.answers import Plain, from_json
from pipeline.domain.audit import Audited
from pipeline.domain.decisions import decision_from, drawing_from
from pipeline.domain.outcomes import AUDITED, DRAWN
from pipeline.domain.runs import RunState
from pipeline.ports.store import Concluded, DrawnAnswer, HeldAnswers, RunRecord, Window

AT_REST = sa.text("""
SELECT NOT EXISTS (SELECT FROM chunks WHERE run_id = :run AND state IN ('pending', 'claimed', 'dead'))
   AND NOT EXISTS (SELECT FROM escalations WHERE run_id = :run)
""")
_HELD_STEPS = sa.text("SELECT DISTINCT step_no FROM attempts WHERE run_id = :run AND outcome = 'held' ORDER BY step_no")
_LATEST = sa.text("SELECT * FROM drawings WHERE run_id = :run AND step_no = :step ORDER BY number DESC LIMIT 1")
_ASKED = sa.text("""
SELECT count(*) FROM items i
 WHERE i.run_id = :run AND i.item_no >= :first AND i.item_no < :until AND i.copy_of IS NULL
   AND i.forgotten_at IS NULL
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


def windows(database: Database, run_id: int) -> Sequence[Window]:
    """Return the windows that are next to be drawn or decided; empty unless the run is at rest."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id)
        return next_windows(connection, run)


def next_windows(connection: sa.Connection, run: RunRecord) -> list[Window]:
    """Return, for each step with held answers, the window that is next; none unless the run is at rest."""
    if run.state is not RunState.RUNNING or not run.ingested:
        return []
    steps = connection.scalars(_HELD_STEPS, {"run": run.id}).all()
    if not steps or not connection.scalar(AT_REST, {"run": run.id}):
        return []
    found = [_window(connection, run, step_no) for step_no in steps]
    return [one for one in found if one.first_item < one.until_item]


def is_next(connection: sa.Connection, run: RunRecord, window: Window) -> bool:
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
        rows = connection.execute(_HELD, place_of(run_id, window)).all()
    return HeldAnswers(
        item_nos=np.array([row.item_no for row in rows], dtype=np.int64),
        tier_nos=np.array([row.tier_no for row in rows], dtype=np.int64),
        confidences=np.array([row.confidence for row in rows], dtype=np.float64),
        calibrated=np.array([row.calibrated for row in rows], dtype=np.bool_),
    )


def held_values(database: Database, run_id: int, window: Window) -> Sequence[Plain]:
    """Return what a window's held answers say."""
    with database.begin() as connection:
        return [from_json(answer).value for answer in connection.scalars(_HELD_VALUES, place_of(run_id, window))]


def answered(database: Database, run_id: int, window: Window) -> NDArray[np.int64]:
    """Return the numbers of a window's items that have an answer, held or standing."""
    with database.begin() as connection:
        return np.array(connection.scalars(_ANSWERED, place_of(run_id, window)).all(), dtype=np.int64)


def drawn_answers(database: Database, run_id: int, window: Window) -> Sequence[DrawnAnswer]:
    """Return what was found of a window's drawn items."""
    values = {**place_of(run_id, window), "items": list(window.drawn), "reason": DRAWN}
    return _both(database, _DRAWN, values)


def audited_answers(database: Database, run_id: int, window: Window) -> Sequence[DrawnAnswer]:
    """Return what was found of a window's audited items."""
    return _both(database, _AUDITED, {**place_of(run_id, window), "reason": AUDITED})


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


def place_of(run_id: int, window: Window) -> dict[str, Any]:
    """Return a window's place as statements name it."""
    return {"run": run_id, "step": window.step_no, "first": window.first_item, "until": window.until_item}
