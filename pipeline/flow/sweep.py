"""Sweep: announce again what nobody will do otherwise, and nothing else.

That is what is due and nobody announced, what a dead worker holds, and what was announced but is neither claimed nor on
the queue any more: Redis lost it, or a worker was killed between taking the message and claiming the chunk. A healthy
backlog is left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.domain.errors import ConservationError, QueueUnavailable
from pipeline.domain.runs import RunState
from pipeline.flow.announcing import FEW_AHEAD
from pipeline.flow.certify import PromiseStore, advance, watch
from pipeline.flow.judge import MAX_CLAIMS
from pipeline.ports.queue import Queue
from pipeline.ports.store import ChunkNotice, WorkStore

LOST_AFTER_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep did."""

    flushed: int
    """Chunks made of escalations that waited too long, or that nothing can follow."""
    taken_back: int
    """Chunks that a dead worker held."""
    announced: int
    """Chunks that were due: those above among them, and what a worker or Redis was lost before announcing."""
    lost: int
    """Chunks whose message Redis lost, or a worker that was killed before it claimed them."""
    broken_runs: tuple[str, ...] = ()
    """Runs whose outcomes do not add up: a bug of ours, loud on purpose."""
    promises: tuple[str, ...] = ()
    """What was drawn, certified or refused."""
    withdrawn: tuple[str, ...] = ()
    """Certificates that their audits have broken."""


def sweep(
    store: PromiseStore,
    queue: Queue,
    *,
    lost_after_s: float = LOST_AFTER_S,
    is_gone: Callable[[str], bool] = lambda _worker: False,
) -> Swept:
    """Mend what is broken now, safely from any number of places; raises QueueUnavailable or StoreUnavailable.

    `is_gone` tells of a worker that its process surely is no more: what it holds need not wait for the lease.
    """
    flushed = 0
    broken: list[str] = []
    said: list[str] = []
    withdrawn: list[str] = []
    for run in store.active_runs():
        flushed += len(store.flush(run.id, older_than_s=run.job.flush_after_s))
        try:
            state, notices = store.settle(run.id)
        except ConservationError:
            broken.append(run.name)
            continue
        withdrawn += watch(store, run) if state is RunState.DONE else ()
        advanced = advance(store, run)
        flushed += len(notices) + len(advanced.notices)
        said += advanced.said
    gone = [worker for worker in store.workers() if is_gone(worker)]
    taken_back = store.take_back(dead_after=MAX_CLAIMS, gone=gone)
    due = store.due(ahead=FEW_AHEAD)
    try:
        queue.publish(due)
    except QueueUnavailable:
        store.not_announced([notice.chunk_id for notice in due])
        raise
    lost = [notice for pool in store.pools() for notice in _lost(store, queue, pool, lost_after_s)]
    queue.publish(lost)
    store.mark_published([notice.chunk_id for notice in lost])
    return Swept(
        flushed=flushed,
        taken_back=taken_back,
        announced=len(due),
        lost=len(lost),
        broken_runs=tuple(broken),
        promises=tuple(said),
        withdrawn=tuple(withdrawn),
    )


def _lost(store: WorkStore, queue: Queue, pool: str, lost_after_s: float) -> list[ChunkNotice]:
    # The rows are read before the queue: a chunk that is claimed in between is found in neither place and is left alone
    # by its claim; the other way round it would be taken for lost.
    waiting = store.published_pending(pool=pool, older_than_s=lost_after_s)
    if not waiting or queue.depth(pool) >= len(waiting):
        return []
    there = queue.chunk_ids(pool, taken_within_s=lost_after_s)
    return [notice for notice in waiting if notice.chunk_id not in there]
