"""Ingest: a source's rows become items and chunks, announced as they are stored; begun again where it stopped."""

import contextlib
import itertools
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pipeline.asking import prompt_digests
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.domain.runs import ENDED_STATES, RunState, identity_digest, run_name
from pipeline.flow.ahead import ahead
from pipeline.flow.announcing import announce
from pipeline.ports.money import MoneyStore
from pipeline.ports.queue import Queue
from pipeline.ports.source import Row, Source
from pipeline.ports.store import Added, IngestStore, NewRun, RunRecord, WorkStore

BATCH_ROWS = 4000


class SubmitStore(IngestStore, WorkStore, MoneyStore, Protocol):
    """What submitting needs of a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a submit did; the counts are of this call, not of the run."""

    run: RunRecord
    made: bool
    """False: the run was there already and was taken up."""
    rows: int
    items: int
    duplicates: int
    rejected: int
    unannounced: int
    """Chunks that were due and could not be announced, Redis being down; a sweep announces them."""


IngestProgress = Callable[[int, int], None]
"""Called with (bytes read, bytes in all) after every batch."""


FusedSteps: TypeAlias = Mapping[int, Collection[int]]
"""Tier number → numbers of the steps that share a reading by evidence."""


def new_run(job: Job, source_digest: str, price_book: PriceBook, *, fused: FusedSteps | None = None) -> NewRun:
    """Freeze a job over a source into what makes a run, the words of its questions included.

    Raises ConfigError for a budget that could not be held to, because a tier has no price.
    """
    refuse_unpriced(job, price_book)
    return NewRun(
        name=run_name(job.name, identity_digest(job.name, job.digest, source_digest)),
        job=job,
        source_digest=source_digest,
        price_book=price_book,
        prompt_digests=prompt_digests(job, fused),
    )


def refuse_unpriced(job: Job, price_book: PriceBook) -> None:
    """Raise ConfigError for a budget that could not be held to, because a tier has no price."""
    unpriced = [tier.name for tier in job.tiers if tier.price not in price_book.names]
    if job.budget is not None and unpriced:
        raise ConfigError(
            f"[budget] needs a price for every tier, and {', '.join(unpriced)} has none: write price = NAME there, one "
            f"of {', '.join(price_book.names)}, or put it into a price book of your own (HEADRACE_PRICE_BOOK)"
        )


def opened_run(new: NewRun, store: SubmitStore) -> tuple[RunRecord, bool]:
    """Open a run with its job's budget, and return whether it was made just now.

    A run that is there already takes a larger budget over, and goes on if it waited for money; a smaller one, or none
    any more, is for `headrace budget` to give.
    """
    run, made = store.open_run(new)
    budget = new.job.budget
    if budget is None:
        return run, made
    now = store.spending(run.id)
    wanted = budget if now is None else now.budget.raised(budget)
    if now is None or wanted != now.budget:
        store.set_budget(run.id, wanted)
    return store.run(run.id), made


def submit(
    job: Job,
    source: Source,
    price_book: PriceBook,
    *,
    store: SubmitStore,
    queue: Queue,
    fused: FusedSteps | None = None,
    progress: IngestProgress | None = None,
    on_run: Callable[[RunRecord], None] | None = None,
) -> Submitted:
    """Read a source into its run, or the rest of it if an earlier submit was cut off.

    Raises ConfigError when the run was cancelled or failed (`retry` takes it up) or is being read by another process.
    """
    run, made = opened_run(new_run(job, source.digest, price_book, fused=fused), store)
    refuse_ended(run)
    if on_run is not None:
        on_run(run)
    if run.ingested:
        return Submitted(run=run, made=made, rows=0, items=0, duplicates=0, rejected=0, unannounced=0)
    with store.ingest_lock(run.id) as held:
        if not held:
            raise ConfigError(
                f"run {run.name} is being read by another process; follow it with: headrace watch {run.name}"
            )
        return _read(store.run(run.id), source, store=store, queue=queue, progress=progress, made=made)


def _read(
    run: RunRecord, source: Source, *, store: SubmitStore, queue: Queue, progress: IngestProgress | None, made: bool
) -> Submitted:
    rows = items = duplicates = rejected = unannounced = 0
    # Three stages at once: this batch is announced while the next is stored and the one after that is parsed.
    with contextlib.closing(ahead(_stored(run, source, store))) as stored:
        for count, added in stored:
            rows += count
            items += added.items
            duplicates += added.duplicates
            rejected += added.rejected
            unannounced = announce(queue, store, run.id) if added.notices else unannounced
            if progress is not None:
                progress(source.bytes_read(), source.size_bytes)
    store.finish_ingest(run.id)
    store.settle(run.id)
    unannounced = announce(queue, store, run.id)
    return Submitted(
        run=store.run(run.id),
        made=made,
        rows=rows,
        items=items,
        duplicates=duplicates,
        rejected=rejected,
        unannounced=unannounced,
    )


def _stored(run: RunRecord, source: Source, store: SubmitStore) -> Generator[tuple[int, Added], None, None]:
    """Store the rest of a source, yielding for each batch how many rows it had and what became of them."""
    at = run.rows_read
    with contextlib.closing(ahead(_batches(source.rows(skip=at)))) as batches:
        for batch in batches:
            added = store.add_rows(run.id, batch, at=at, keyed=run.job.key is not None)
            at += len(batch)
            yield len(batch), added


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(itertools.islice(rows, BATCH_ROWS)):
        yield batch


def refuse_ended(run: RunRecord) -> None:
    """Raise ConfigError for a run that nothing more happens to by itself, unless it is done; says what takes it up."""
    if run.state is RunState.HELD and run.reason is not None:
        raise ConfigError(f"run {run.name} is held: {run.reason}")
    if run.state in ENDED_STATES - {RunState.DONE}:
        raise ConfigError(f"run {run.name} is {run.state.value}; take it up with: headrace retry {run.name}")
