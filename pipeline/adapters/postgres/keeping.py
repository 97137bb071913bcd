"""Texts that are kept for so long and no longer: the other half of ports.forgetting.ForgetStore."""

import sqlalchemy as sa

from pipeline.adapters.postgres.database import Database
from pipeline.domain.errors import ConfigError
from pipeline.domain.forgetting import ErasedTexts, texts_gone
from pipeline.ports.store import RunRecord

# Whoever erases holds the run: it is not taken up meanwhile, and two who erase at once take different runs.
_DUE = sa.text("""
SELECT id, name FROM runs
 WHERE state IN ('done', 'cancelled', 'failed') AND finished_at <= now() - make_interval(secs => :age_s)
   AND (texts_erased_at IS NULL OR texts_erased_at < finished_at)
 ORDER BY finished_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
""")
_ERASE = sa.text("""
UPDATE items SET text = '' WHERE run_id = :run AND item_no IN (
    SELECT item_no FROM items WHERE run_id = :run AND copy_of IS NULL AND text <> '' ORDER BY item_no LIMIT :limit
)
""")
_NO_DETAILS = sa.text("UPDATE attempts SET defect_detail = NULL WHERE run_id = :run AND defect_detail IS NOT NULL")
_ERASED = sa.text("UPDATE runs SET texts_erased_at = now() WHERE id = :run")
# What would be asked again: open, dead or cancelled chunks, what waits for a tier, and what is held.
_GONE = sa.text("""
SELECT EXISTS (
    SELECT FROM chunks c CROSS JOIN unnest(c.item_nos) AS u (item_no)
      JOIN items i ON i.run_id = c.run_id AND i.item_no = u.item_no
     WHERE c.run_id = :run AND (c.state IN ('pending', 'claimed') OR c.state IN ('dead', 'cancelled')) AND i.text = ''
       AND (CAST(:items AS bigint[]) IS NULL OR c.item_nos && CAST(:items AS bigint[]))
) OR EXISTS (
    SELECT FROM escalations e JOIN items i ON i.run_id = e.run_id AND i.item_no = e.item_no
     WHERE e.run_id = :run AND i.text = ''
) OR EXISTS (
    SELECT FROM attempts a JOIN items i ON i.run_id = a.run_id AND i.item_no = a.item_no
     WHERE a.run_id = :run AND a.outcome = 'held' AND i.text = ''
)
""")


def erase_texts(database: Database, *, ended_for_s: float, limit: int) -> ErasedTexts:
    """Erase up to `limit` texts of runs that ended so long ago, a transaction for each run."""
    texts = 0
    runs: list[str] = []
    while True:
        with database.begin() as connection:
            run = connection.execute(_DUE, {"age_s": ended_for_s}).one_or_none()
            if run is None:
                return ErasedTexts(texts=texts, runs=tuple(runs))
            erased = connection.execute(_ERASE, {"run": run.id, "limit": limit - texts}).rowcount
            texts += erased
            if texts >= limit:
                return ErasedTexts(texts=texts, runs=tuple(runs), more=True)
            connection.execute(_NO_DETAILS, {"run": run.id})
            connection.execute(_ERASED, {"run": run.id})
        runs.append(run.name)


def refuse_erased(connection: sa.Connection, run: RunRecord, items: list[int] | None = None) -> None:
    """Raise ConfigError where a text is erased that would be asked again, of these items' chunks or any."""
    if connection.scalar(_GONE, {"run": run.id, "items": items}):
        raise ConfigError(texts_gone(run.name))
