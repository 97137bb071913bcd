"""Rows in: see ports.store.IngestStore."""

import contextlib
from collections.abc import Iterator, Sequence

from pipeline.adapters.memory.rows import ItemRow, RunRow
from pipeline.adapters.memory.tables import Tables
from pipeline.domain.errors import ConservationError
from pipeline.domain.items import Item, RejectedRow, RejectReason, fingerprint
from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.domain.runs import RunState
from pipeline.ports.store import Added, ChunkNotice, NewRun, RunRecord


class IngestPart:
    """The store's first face."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def open_run(self, new: NewRun) -> tuple[RunRecord, bool]:
        """Return the run of this identity, in whatever state, and whether it was made just now."""
        identity = (new.job.name, new.job.digest, new.source_digest)
        with self._tables.lock:
            known = self._tables.run_of_identity.get(identity)
            if known is not None:
                return self._tables.runs[known].record(), False
            if any(run.name == new.name for run in self._tables.runs.values()):
                raise ConservationError("another run has this name: names come from `run_name` of the run's identity")
            run = RunRow(
                id=len(self._tables.runs) + 1,
                name=new.name,
                job=Job.model_validate_json(new.job.model_dump_json()),
                price_book=PriceBook.model_validate_json(new.price_book.model_dump_json()),
                prompt_digests=dict(new.prompt_digests),
                created_at=self._tables.clock.now(),
            )
            self._tables.runs[run.id] = run
            self._tables.run_of_identity[identity] = run.id
            return run.record(), True

    @contextlib.contextmanager
    def ingest_lock(self, run_id: int) -> Iterator[bool]:
        """Hold the right to add rows; yields False at once when another holds it."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            got = not run.ingest_held
            run.ingest_held = True
        try:
            yield got
        finally:
            if got:
                with self._tables.lock:
                    run.ingest_held = False

    def add_rows(self, run_id: int, rows: Sequence[Item | RejectedRow], *, at: int, keyed: bool) -> Added:
        """Store rows number `at`, `at`+1, … and the first tiers' chunks, unless they are there already."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            if at > run.rows_read:
                raise ConservationError(
                    f"rows from number {at} on were given and {run.rows_read} are stored: go on from there"
                )
            return self._append(run, rows[run.rows_read - at :], keyed=keyed)

    def add_new(self, run_id: int, rows: Sequence[Item | RejectedRow]) -> Added:
        """Append rows that come from code; an item whose key the run knows with the same text is left out."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            here: dict[str, bytes] = {}
            new: list[Item | RejectedRow] = []
            for row in rows:
                if isinstance(row, Item):
                    text_id = fingerprint(row.text)
                    if run.text_of_key.get(row.key, here.get(row.key)) == text_id:
                        continue
                    here.setdefault(row.key, text_id)
                new.append(row)
            return self._append(run, new, keyed=True)

    def finish_ingest(self, run_id: int) -> None:
        """Say that the source was read to its end. The store settles the run after this."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            run.ingested = True
            if run.state is RunState.INGESTING:
                run.state = RunState.RUNNING

    def reopen_ingest(self, run_id: int) -> None:
        """Let a producer add to a run whose ingest was finished; one that failed or was cancelled stays so."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            if run.state in {RunState.RUNNING, RunState.DONE}:
                run.ingested = False
                run.work_again()

    def _append(self, run: RunRow, rows: Sequence[Item | RejectedRow], *, keyed: bool) -> Added:
        start = run.rows_read
        stored = [_store_row(run, row_no, row, keyed=keyed) for row_no, row in enumerate(rows, start)]
        run.rows_read += len(rows)
        added = [row for row in stored if isinstance(row, ItemRow)]
        return Added(
            items=len(added),
            duplicates=sum(row.copy_of is not None for row in added),
            rejected=len(stored) - len(added),
            notices=self._first_chunks(run, start),
            conflicts=tuple(
                row
                for row, given in zip(stored, rows, strict=True)
                if isinstance(row, RejectedRow) and isinstance(given, Item)
            ),
        )

    def _first_chunks(self, run: RunRow, start: int) -> tuple[ChunkNotice, ...]:
        """Make the chunks in which the new canonical items are asked for the first time."""
        asked = [
            row_no
            for row_no in range(start, run.rows_read)
            if row_no in run.items and run.items[row_no].copy_of is None
        ]
        return tuple(
            notice
            for tier_no, mask in sorted(run.job.first_masks().items())
            for notice in self._tables.make_chunks(run, (tier_no, 0), [(row_no, mask) for row_no in asked])
        )


def _store_row(run: RunRow, row_no: int, row: Item | RejectedRow, *, keyed: bool) -> ItemRow | RejectedRow:
    """Store one row as an item, as a copy, or as rejected."""
    if isinstance(row, RejectedRow):
        run.rejected[row_no] = row
        return row
    text_id = fingerprint(row.text)
    if run.text_of_key.setdefault(row.key, text_id) != text_id and keyed:
        run.rejected[row_no] = RejectedRow(
            source=row.source,
            line=row.line,
            reason=RejectReason.KEY_CONFLICT,
            detail="an earlier row has the same key and another text: make keys unique, or leave `key` out of the job",
        )
        return run.rejected[row_no]
    first = run.first_of_text.setdefault(text_id, row_no)
    run.items[row_no] = ItemRow(item=row, copy_of=None if first == row_no else first)
    return run.items[row_no]
