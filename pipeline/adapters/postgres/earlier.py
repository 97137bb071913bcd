"""Answers of earlier runs: ports.earlier.EarlierStore."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pipeline.adapters.postgres import records, tables
from pipeline.adapters.postgres.database import Database, storable
from pipeline.domain.answers import Usage, from_json
from pipeline.domain.items import Salt, fingerprint
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import Confidence, RawScore
from pipeline.ports.earlier import Known
from pipeline.ports.store import RunRecord

# Item by item, each by the keys of its rows, whatever the planner believes about tables that it has not analysed yet.
_ANSWERED = sa.text("""
WITH known AS MATERIALIZED (
    SELECT fingerprint, item_no FROM items WHERE copy_of IS NULL AND fingerprint = ANY (ARRAY(
        SELECT substr(:prints, place, 16) FROM generate_series(1, length(:prints), 16) AS place))
)
SELECT k.fingerprint, s.step_no, a.*
  FROM known k
 CROSS JOIN unnest(CAST(:steps AS smallint[])) AS s (step_no)
 CROSS JOIN LATERAL (
    SELECT answer, raw_score, confidence, calibrated, field_confidences, model
      FROM attempts JOIN LATERAL (SELECT model FROM ledger WHERE call_id = attempts.call_id OFFSET 0) AS l ON true
     WHERE run_id = :run AND item_no = k.item_no AND step_no = s.step_no AND tier_no = :tier AND outcome = 'verdict'
       AND NOT truncated
       AND model = coalesce(CAST(:model AS text), model)
     ORDER BY generation DESC LIMIT 1
 ) a
""")


def earlier_runs(database: Database, run_id: int, *, most: int) -> Sequence[RunRecord]:
    """Return the runs of the same job's name that were made before this one, the latest first."""
    runs = tables.runs
    name = sa.select(runs.c.job_name).where(runs.c.id == run_id).scalar_subquery()
    query = sa.select(runs).where(runs.c.job_name == name, runs.c.id < run_id).order_by(runs.c.id.desc()).limit(most)
    with database.begin() as connection:
        return [records.run_record(row, row.name) for row in connection.execute(query)]


def answered_before(
    database: Database, run_id: int, tier_no: int, texts: Sequence[str], *, model: str | None
) -> Sequence[Known]:
    """Return what a tier of a run answered to these texts, where it stood and the whole text was read."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id)
        salt = Salt.of(run.name)
        place = {fingerprint(text, salt=salt): number for number, text in enumerate(texts)}
        wanted = {
            "run": run_id,
            "tier": tier_no,
            "steps": list(range(len(run.job.steps))),
            "prints": b"".join(place),
            "model": None if model is None else storable(model),
        }
        return [
            Known(text_no=place[bytes(row.fingerprint)], step_no=row.step_no, given=_given(row), model=row.model)
            for row in connection.execute(_ANSWERED, wanted)
        ]


def _given(row: "sa.Row[Any]") -> Given:
    return Given(
        answer=from_json(row.answer),
        raw_score=None if row.raw_score is None else RawScore(row.raw_score),
        confidence=Confidence(row.confidence, calibrated=True) if row.calibrated else None,
        field_scores={name: RawScore(value) for name, value in (row.field_confidences or {}).items()},
        usage=Usage(tokens_in=0, tokens_cached=0, tokens_out=0),
        call_no=0,
    )
