"""Results, one line per valid row, page by page."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.labels import labels_of
from pipeline.adapters.postgres.records import fetch_run
from pipeline.domain.answers import expectation_of, from_json, spans_of
from pipeline.domain.job import Job
from pipeline.domain.runs import ResultLine, StepResult, shown_label

_PAGE = 2000
_ITEMS = sa.text("""
SELECT item_no, coalesce(copy_of, item_no) AS original, key, source, line FROM items
 WHERE run_id = :run AND item_no > :after AND forgotten_at IS NULL ORDER BY item_no LIMIT :page
""")
_ATTEMPTS = sa.text("""
SELECT a.item_no, a.step_no, a.tier_no, a.outcome, a.reason, a.answer, a.confidence, a.calibrated, a.field_confidences,
       v.state AS final
  FROM attempts a
  LEFT JOIN verdicts v ON (v.run_id, v.item_no, v.step_no, v.tier_no, v.purpose, v.generation)
                        = (a.run_id, a.item_no, a.step_no, a.tier_no, a.purpose, a.generation)
 WHERE a.run_id = :run AND a.item_no = ANY(:items) AND a.purpose = 'answer'
 ORDER BY a.item_no, a.step_no, a.generation, a.tier_no
""")
_PENDING = StepResult(
    state="pending",
    value=None,
    fields={},
    confidence=None,
    calibrated=False,
    tier=None,
    escalated_from=(),
    reason=None,
)


def results(database: Database, run_id: int) -> Iterator[ResultLine]:
    """Yield one line per valid row in the source's order; a copy shows its original's answers."""
    with database.begin() as connection:
        job = fetch_run(connection, run_id).job
    after = -1
    while True:
        with database.begin() as connection:
            page = connection.execute(_ITEMS, {"run": run_id, "after": after, "page": _PAGE}).all()
            originals = sorted({row.original for row in page})
            found = connection.execute(_ATTEMPTS, {"run": run_id, "items": originals}).all()
            said = labels_of(connection, run_id, originals)
        by_place: dict[tuple[int, int], list[sa.Row[Any]]] = defaultdict(list)
        for attempt in found:
            by_place[attempt.item_no, attempt.step_no].append(attempt)
        for row in page:
            answers = {
                step.name: shown_label(
                    step_result(job, by_place.get((row.original, step_no), [])), said, (row.original, step_no)
                )
                for step_no, step in enumerate(job.steps)
            }
            yield ResultLine(key=row.key, source=row.source, line=row.line, answers=answers)
        if len(page) < _PAGE:
            return
        after = page[-1].item_no


def step_result(job: Job, attempts: Sequence["sa.Row[Any]"]) -> StepResult:
    """Return what is known of a step from its attempts, oldest generation and cheapest tier first."""
    path = tuple((job.tiers[a.tier_no].name, a.reason) for a in attempts if a.outcome == "escalation")
    final = next((a for a in attempts if a.final), None)
    if final is None:
        return StepResult(**{**_fields_of(_PENDING), "escalated_from": path})
    # An unresolved step shows the best answer that anyone gave: the highest tier's that was well formed.
    shown = final if final.answer is not None else next((a for a in reversed(attempts) if a.answer is not None), final)
    answer = None if shown.answer is None else from_json(shown.answer)
    return StepResult(
        state=final.final,
        value=None if answer is None else answer.value,
        expectation=expectation_of(answer),
        spans=spans_of(answer),
        fields=dict(shown.field_confidences or {}),
        confidence=shown.confidence,
        calibrated=shown.calibrated,
        tier=job.tiers[shown.tier_no].name,
        escalated_from=path,
        reason=final.reason,
    )


def _fields_of(result: StepResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in StepResult.__dataclass_fields__}
