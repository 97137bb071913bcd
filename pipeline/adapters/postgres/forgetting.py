"""Forgetting a key: ports.forgetting.ForgetStore, but for the texts that run out (see `keeping`).

A row is not deleted: what its calls have cost stands in its attempts, and costs by step are added up from them. It
loses all that it says, and its fingerprints become random ones.

Whoever forgets holds, in this order, the run, the chunks that ask the item, and the run's gathering: as commits do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipeline.adapters.postgres import tables
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.gather import hold_gathering
from pipeline.adapters.postgres.records import fetch_run
from pipeline.domain.decisions import waits_for_labels
from pipeline.domain.forgetting import FORGOTTEN, Forgotten
from pipeline.domain.items import Salt, fingerprint
from pipeline.domain.runs import RunState
from pipeline.ports.store import RunRecord

_TOUCHED = ("items", "attempts", "verdicts", "labels", "escalations", "chunks", "drawings", "runs")
_WITH_KEY = sa.text("SELECT run_id, item_no, copy_of FROM items WHERE key_fingerprint = :print AND key = :key")
_RUNS_WITH_KEY = sa.text("""
SELECT DISTINCT run_id FROM items WHERE key = :key AND key_fingerprint = ANY (ARRAY(
    SELECT substr(:prints, place, 16) FROM generate_series(1, length(:prints), 16) AS place
)) ORDER BY run_id
""")
_HEIRS = sa.text("""
SELECT DISTINCT ON (copy_of) copy_of, item_no FROM items
 WHERE run_id = :run AND copy_of = ANY(:originals) AND NOT item_no = ANY(:items) ORDER BY copy_of, item_no
""")
_PASS_ON = sa.text("""
UPDATE items o SET key = h.key, source = h.source, line = h.line, key_fingerprint = h.key_fingerprint
  FROM items h WHERE h.run_id = :run AND h.item_no = ANY(:heirs) AND o.run_id = h.run_id AND o.item_no = h.copy_of
""")
_EMPTY = sa.text("""
UPDATE items SET key = '', source = '', line = 0, text = '', copy_of = NULL, forgotten_at = now(),
       fingerprint = uuid_send(gen_random_uuid()), key_fingerprint = uuid_send(gen_random_uuid())
 WHERE run_id = :run AND item_no = ANY(:items)
""")
_COUNT = sa.text("""
UPDATE runs SET items = items - :rows, duplicates = duplicates - :copies, forgotten = forgotten + :rows WHERE id = :run
""")
_LOCK_CHUNKS = sa.text("""
SELECT id FROM chunks
 WHERE run_id = :run AND (state IN ('pending', 'claimed') OR state IN ('dead', 'cancelled'))
   AND item_nos && CAST(:items AS bigint[])
 ORDER BY id FOR NO KEY UPDATE
""")
# A chunk that nothing is left of is done; its numbers stay, for a chunk has some. The fence refuses who holds it now.
_TAKE_OUT = sa.text("""
WITH rest AS (
    SELECT c.id, array_agg(u.item_no ORDER BY u.place) FILTER (WHERE NOT u.item_no = ANY(:items)) AS item_nos,
           array_agg(u.mask ORDER BY u.place) FILTER (WHERE NOT u.item_no = ANY(:items)) AS masks
      FROM chunks c CROSS JOIN unnest(c.item_nos, c.step_masks) WITH ORDINALITY AS u (item_no, mask, place)
     WHERE c.id = ANY(:chunks) GROUP BY c.id
)
UPDATE chunks c SET item_nos = coalesce(r.item_nos, c.item_nos), step_masks = coalesce(r.masks, c.step_masks),
       state = CASE WHEN r.item_nos IS NULL THEN 'done' WHEN c.state = 'claimed' THEN 'pending' ELSE c.state END,
       done_at = CASE WHEN r.item_nos IS NULL THEN now() END, lease_until = NULL, fence = c.fence + 1,
       claims = c.claims - CAST(c.state = 'claimed' AS int),
       published_at = CASE WHEN c.state = 'claimed' THEN NULL ELSE c.published_at END
  FROM rest r WHERE c.id = r.id AND c.state <> 'done'
""")
_NOT_WAITING = sa.text("DELETE FROM escalations WHERE run_id = :run AND item_no = ANY(:items)")
_NO_VERDICTS = sa.text("DELETE FROM verdicts WHERE run_id = :run AND item_no = ANY(:items)")
_NO_LABELS = sa.text("DELETE FROM labels WHERE run_id = :run AND item_no = ANY(:items)")
_NO_ANSWERS = sa.text("""
UPDATE attempts SET outcome = 'unresolved', reason = :reason, to_tier = NULL, answer = NULL, defect_detail = NULL,
       raw_score = NULL, confidence = NULL, calibrated = false, field_confidences = NULL, truncated = false
 WHERE run_id = :run AND item_no = ANY(:items)
""")
_NO_DRAWINGS = sa.text("""
DELETE FROM drawings d WHERE d.run_id = :run AND d.version IS NULL AND EXISTS (
    SELECT FROM unnest(CAST(:items AS bigint[])) AS u (item_no)
     WHERE u.item_no >= d.first_item AND u.item_no < d.until_item
)
""")
_GO_ON = sa.text("UPDATE runs SET state = 'running', reason = NULL WHERE id = :run")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows of a key, by what becomes of them."""

    copy_of: Mapping[int, int | None]
    """Each row with the key → the earlier row that has its text, None for the first."""
    heirs: Mapping[int, int]
    """First of a text → the first copy of it that has another key."""

    @property
    def copies(self) -> int:
        """How many are copies."""
        return sum(original is not None for original in self.copy_of.values())

    @property
    def alone(self) -> list[int]:
        """Return those whose text nobody else has: what is known of it goes with them."""
        return [number for number, original in self.copy_of.items() if original is None and number not in self.heirs]

    @property
    def kept_texts(self) -> int:
        """How many of their texts others have."""
        gone = set(self.alone)
        return sum((number if original is None else original) not in gone for number, original in self.copy_of.items())

    @property
    def emptied(self) -> list[int]:
        """Return the places that are left empty: an heir moves into its original's."""
        return [*(set(self.copy_of) - set(self.heirs)), *self.heirs.values()]


def runs_with_key(database: Database, key: str) -> Sequence[int]:
    """Return the numbers of the runs that have an item with this key."""
    with database.begin() as connection:
        names = connection.scalars(sa.select(tables.runs.c.name)).all()
        prints = b"".join(fingerprint(key, salt=Salt.of(name)) for name in names)
        return [int(number) for number in connection.scalars(_RUNS_WITH_KEY, {"prints": prints, "key": key})]


def forget(database: Database, run_id: int, key: str, *, dry_run: bool) -> Forgotten:
    """Erase a key in one run; with `dry_run` do it and take it back, so that the numbers are those of the deed."""
    with database.begin() as connection, connection.begin_nested() as deed:
        run = fetch_run(connection, run_id, lock=True)
        rows = _rows(connection, run, key)
        done = _forget(connection, run, rows)
        if dry_run:
            deed.rollback()
        return done


def vacuum(database: Database) -> None:
    """Give up old versions of rows in the tables that forgetting changes."""
    with database.autocommit() as connection:
        for name in _TOUCHED:
            connection.execute(sa.text(f"VACUUM {name}"))


def _rows(connection: sa.Connection, run: RunRecord, key: str) -> _Rows:
    found = connection.execute(_WITH_KEY, {"print": fingerprint(key, salt=Salt.of(run.name)), "key": key}).all()
    copy_of = {row.item_no: row.copy_of for row in found if row.run_id == run.id}
    originals = [number for number, original in copy_of.items() if original is None]
    if not originals:
        return _Rows(copy_of=copy_of, heirs={})
    heirs = connection.execute(_HEIRS, {"run": run.id, "originals": originals, "items": list(copy_of)})
    return _Rows(copy_of=copy_of, heirs={row.copy_of: row.item_no for row in heirs})


def _forget(connection: sa.Connection, run: RunRecord, rows: _Rows) -> Forgotten:
    done = dict.fromkeys(("attempts", "verdicts", "labels", "waiting", "chunks", "drawings"), 0)
    if rows.alone:
        done = _forget_answers(connection, run, rows.alone)
    if rows.heirs:
        connection.execute(_PASS_ON, {"run": run.id, "heirs": list(rows.heirs.values())})
    if rows.copy_of:
        # An heir was a copy, and is none any more.
        copies = rows.copies + len(rows.heirs)
        connection.execute(_EMPTY, {"run": run.id, "items": rows.emptied})
        connection.execute(_COUNT, {"run": run.id, "rows": len(rows.copy_of), "copies": copies})
    return Forgotten(run=run.name, items=len(rows.copy_of), copies=rows.copies, passed_on=rows.kept_texts, **done)


def _forget_answers(connection: sa.Connection, run: RunRecord, items: Sequence[int]) -> dict[str, int]:
    """Take items out of all that asks them, and erase what was answered; in this order, or a commit brings it back."""
    place = {"run": run.id, "items": list(items)}
    chunks = _take_out(connection, place)
    hold_gathering(connection, run)
    waiting = connection.execute(_NOT_WAITING, place).rowcount
    chunks += _take_out(connection, place)  # those that were gathered before we held that
    verdicts = connection.execute(_NO_VERDICTS, place).rowcount
    labels = connection.execute(_NO_LABELS, place).rowcount
    attempts = connection.execute(_NO_ANSWERS, {**place, "reason": FORGOTTEN}).rowcount
    drawings = connection.execute(_NO_DRAWINGS, place).rowcount
    if drawings and run.state is RunState.HELD and waits_for_labels(run.reason):
        connection.execute(_GO_ON, {"run": run.id})  # what it waited for is drawn anew
    return {
        "attempts": attempts,
        "verdicts": verdicts,
        "labels": labels,
        "waiting": waiting,
        "chunks": chunks,
        "drawings": drawings,
    }


def _take_out(connection: sa.Connection, place: dict[str, object]) -> int:
    # Locked by a statement of its own: the next one then sees what those have committed who were waited for.
    chunks = connection.scalars(_LOCK_CHUNKS, place).all()
    if not chunks:
        return 0
    return connection.execute(_TAKE_OUT, {"chunks": chunks, "items": place["items"]}).rowcount
