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

_ANSWERED = sa.text("""
SELECT DISTINCT ON (i.item_no, a.step_no) i.fingerprint, a.step_no, a.answer, a.raw_score, a.confidence, a.calibrated,
       a.field_confidences, a.tokens_in, a.tokens_out
  FROM items i
  JOIN attempts a ON a.run_id = i.run_id AND a.item_no = i.item_no
  JOIN ledger l ON l.call_id = a.call_id
 WHERE i.run_id = :run AND i.copy_of IS NULL AND i.fingerprint = ANY (ARRAY(
           SELECT substr(:prints, place, 16) FROM generate_series(1, length(:prints), 16) AS place))
   AND a.tier_no = :tier AND a.outcome = 'verdict' AND NOT a.truncated
   AND l.model = coalesce(CAST(:model AS text), l.model)
 ORDER BY i.item_no, a.step_no, a.generation DESC
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
        salt = Salt.of(records.fetch_run(connection, run_id).name)
        place = {fingerprint(text, salt=salt): number for number, text in enumerate(texts)}
        wanted = {
            "run": run_id,
            "tier": tier_no,
            "prints": b"".join(place),
            "model": None if model is None else storable(model),
        }
        return [
            Known(text_no=place[bytes(row.fingerprint)], step_no=row.step_no, given=_given(row))
            for row in connection.execute(_ANSWERED, wanted)
        ]


def _given(row: "sa.Row[Any]") -> Given:
    return Given(
        answer=from_json(row.answer),
        raw_score=None if row.raw_score is None else RawScore(row.raw_score),
        confidence=Confidence(row.confidence, calibrated=True) if row.calibrated else None,
        field_scores={name: RawScore(value) for name, value in (row.field_confidences or {}).items()},
        usage=Usage(tokens_in=row.tokens_in, tokens_cached=row.tokens_in, tokens_out=row.tokens_out),
        call_no=0,
    )
