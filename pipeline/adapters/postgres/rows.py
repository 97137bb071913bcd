"""Rows in: items, rejected rows and the first tiers' chunks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pipeline.adapters.postgres import records, tables
from pipeline.adapters.postgres.database import Database, copy_rows
from pipeline.adapters.postgres.seen import Seen
from pipeline.domain.errors import ConservationError
from pipeline.domain.items import Item, RejectedRow, RejectReason, Salt, fingerprint
from pipeline.ports.store import Added, ChunkNotice, RunRecord

_ITEM_COLUMNS = ("run_id", "item_no", "key", "source", "line", "fingerprint", "key_fingerprint", "text", "copy_of")
_REJECTED_COLUMNS = ("run_id", "row_no", "source", "line", "reason", "detail")
_CHUNK_COLUMNS = ("id", "run_id", "tier_no", "pool", "generation", "item_nos", "step_masks")

# Fingerprints travel as one value: the driver would write thousands of array members one by one, in Python.
_KNOWN_TEXTS = sa.text("""
SELECT fingerprint, item_no FROM items WHERE copy_of IS NULL AND fingerprint = ANY (ARRAY(
    SELECT substr(:prints, place, 16) FROM generate_series(1, length(:prints), 16) AS place
))
""")
_KNOWN_KEYS = sa.text("""
SELECT key_fingerprint, fingerprint FROM items WHERE key_fingerprint = ANY (ARRAY(
    SELECT substr(:prints, place, 16) FROM generate_series(1, length(:prints), 16) AS place
))
""")


@dataclass(slots=True)
class _Sorted:
    """A batch, sorted into what will be written."""

    items: list[tuple[Any, ...]] = field(default_factory=list)
    rejected: list[tuple[Any, ...]] = field(default_factory=list)
    conflicts: list[RejectedRow] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    """Numbers of the items whose text is new to the run: those are asked."""


def add_rows(
    database: Database, run_id: int, rows: Sequence[Item | RejectedRow], *, at: int, keyed: bool, seen: Seen | None
) -> Added:
    """Store rows number `at`, `at`+1, …, those that are not stored yet; what `seen` calls new is not looked up."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id, lock=True)
        if at > run.rows_read:
            raise ConservationError(f"rows {run.rows_read} to {at} of run {run.name} would be left out")
        skipped = run.rows_read - at
        new = rows[skipped:]
        if not new:
            return Added(items=0, duplicates=0, rejected=0, notices=())
        trusted = seen if seen is not None and seen.rows == run.rows_read else None
        added = _write(connection, run, new, keyed=keyed, seen=trusted)
    if trusted is not None:
        trusted.rows += len(new)  # only now: what was rolled back would have to be met again
    return added


def add_new(database: Database, run_id: int, rows: Sequence[Item | RejectedRow]) -> Added:
    """Append rows that come from code, but for the items that the run knows by key and text."""
    with database.begin() as connection:
        run = records.fetch_run(connection, run_id, lock=True)
        prints = _prints(run, rows)
        known = _known_keys(connection, [key for key, _ in prints])
        new: list[Item | RejectedRow] = []
        for row, (key_print, text_print) in zip(rows, prints, strict=True):
            if key_print and known.get(key_print) == text_print:
                continue
            known.setdefault(key_print, text_print)
            new.append(row)
        return _write(connection, run, new, keyed=True, seen=None)


def _write(
    connection: sa.Connection, run: RunRecord, rows: Sequence[Item | RejectedRow], *, keyed: bool, seen: Seen | None
) -> Added:
    batch = _sort(connection, run, rows, keyed=keyed, seen=seen)
    copy_rows(connection, tables.items, _ITEM_COLUMNS, batch.items)
    copy_rows(connection, tables.rejected_rows, _REJECTED_COLUMNS, batch.rejected)
    notices = _make_chunks(connection, run, batch.fresh)
    runs = tables.runs.c
    added = Added(
        items=len(batch.items),
        duplicates=len(batch.items) - len(batch.fresh),
        rejected=len(batch.rejected),
        notices=tuple(notices),
        conflicts=tuple(batch.conflicts),
    )
    connection.execute(
        tables.runs.update()
        .where(runs.id == run.id)
        .values(
            rows_read=runs.rows_read + len(rows),
            items=runs["items"] + added.items,
            duplicates=runs.duplicates + added.duplicates,
            rejected=runs.rejected + added.rejected,
        )
    )
    return added


def _sort(
    connection: sa.Connection, run: RunRecord, rows: Sequence[Item | RejectedRow], *, keyed: bool, seen: Seen | None
) -> _Sorted:
    """Tell new texts from known ones and refuse a key that came with another text."""
    prints = _prints(run, rows)
    texts = [text for _, text in prints if text]
    known = _known_texts(connection, seen.meet(texts) if seen else texts)
    keys: dict[bytes, bytes] = {}
    if keyed:
        named = [key for key, _ in prints if key]
        keys = _known_keys(connection, seen.meet(named) if seen else named)
    batch = _Sorted()
    for row_no, (row, (key_print, text_print)) in enumerate(zip(rows, prints, strict=True), run.rows_read):
        if isinstance(row, RejectedRow):
            batch.rejected.append(_rejected_row(run.id, row_no, row))
            continue
        if keyed and keys.setdefault(key_print, text_print) != text_print:
            detail = "an earlier row has the same key and another text: make keys unique, or leave `key` out of the job"
            conflict = RejectedRow(source=row.source, line=row.line, reason=RejectReason.KEY_CONFLICT, detail=detail)
            batch.conflicts.append(conflict)
            batch.rejected.append(_rejected_row(run.id, row_no, conflict))
            continue
        original = known.setdefault(text_print, row_no)
        kept = (row.text, None) if original == row_no else (None, original)
        batch.items.append((run.id, row_no, row.key, row.source, row.line, text_print, key_print, *kept))
        if original == row_no:
            batch.fresh.append(row_no)
    return batch


def _rejected_row(run_id: int, row_no: int, row: RejectedRow) -> tuple[Any, ...]:
    return (run_id, row_no, row.source, row.line, row.reason.value, row.detail)


def _prints(run: RunRecord, rows: Sequence[Item | RejectedRow]) -> list[tuple[bytes, bytes]]:
    """Return the fingerprints of each row's key and text; empty ones for a row that is no item."""
    salt = Salt.of(run.name)
    return [
        (b"", b"")
        if isinstance(row, RejectedRow)
        else (fingerprint(row.key, salt=salt), fingerprint(row.text, salt=salt))
        for row in rows
    ]


def _known_texts(connection: sa.Connection, prints: Sequence[bytes]) -> dict[bytes, int]:
    if not prints:
        return {}
    found = connection.execute(_KNOWN_TEXTS, {"prints": b"".join(prints)})
    return {bytes(row.fingerprint): row.item_no for row in found}


def _known_keys(connection: sa.Connection, prints: Sequence[bytes]) -> dict[bytes, bytes]:
    if not prints:
        return {}
    found = connection.execute(_KNOWN_KEYS, {"prints": b"".join(prints)})
    return {bytes(row.key_fingerprint): bytes(row.fingerprint) for row in found}


def _make_chunks(connection: sa.Connection, run: RunRecord, item_nos: Sequence[int]) -> list[ChunkNotice]:
    """Cut new items into chunks for every tier at which a step's ladder begins."""
    cut = [
        (tier_no, mask, item_nos[start : start + run.job.tiers[tier_no].chunk_items])
        for tier_no, mask in run.job.first_masks().items()
        for start in range(0, len(item_nos), run.job.tiers[tier_no].chunk_items)
    ]
    if not cut:
        return []
    ids = connection.scalars(
        sa.text("SELECT nextval(pg_get_serial_sequence('chunks', 'id')) FROM generate_series(1, :n)"), {"n": len(cut)}
    ).all()
    copy_rows(
        connection,
        tables.chunks,
        _CHUNK_COLUMNS,
        [
            (chunk_id, run.id, tier_no, run.job.tiers[tier_no].pool, 0, list(part), [mask] * len(part))
            for chunk_id, (tier_no, mask, part) in zip(ids, cut, strict=True)
        ],
    )
    return [
        records.notice(run, chunk_id, tier_no, len(part)) for chunk_id, (tier_no, _, part) in zip(ids, cut, strict=True)
    ]
