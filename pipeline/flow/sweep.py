"""Sweep: announce again what nobody will do otherwise, and nothing else.

That is what stands unpublished, what a dead worker holds, and what was published but is neither claimed nor on the
queue any more: Redis lost it, or a worker was killed between taking the message and claiming the chunk. A healthy
backlog is left alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.domain.errors import ConservationError
from pipeline.domain.runs import RunState
from pipeline.flow.certify import PromiseStore, advance, watch
from pipeline.flow.judge import MAX_CLAIMS
from pipeline.ports.queue import Queue
from pipeline.ports.store import ChunkNotice, WorkStore

GRACE_S = 5.0
LOST_AFTER_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep did."""

    flushed: int
    """Chunks made of escalations that waited too long, or that nothing can follow."""
    republished: int
    """Chunks that stood unpublished or were held by a dead worker."""
    lost: int
    """Chunks whose message Redis lost, or a worker that was killed before it claimed them."""
    broken_runs: tuple[str, ...] = ()
    """Runs whose outcomes do not add up: a bug of ours, loud on purpose."""
    promises: tuple[str, ...] = ()
    """What was drawn, certified or refused."""
    withdrawn: tuple[str, ...] = ()
    """Certificates that their audits have broken."""


def sweep(store: PromiseStore, queue: Queue, *, grace_s: float = GRACE_S, lost_after_s: float = LOST_AFTER_S) -> Swept:
    """Mend what is broken now, safely from any number of places; raises QueueUnavailable or StoreUnavailable."""
    flushed: list[ChunkNotice] = []
    broken: list[str] = []
    said: list[str] = []
    withdrawn: list[str] = []
    for run in store.active_runs():
        flushed += store.flush(run.id, older_than_s=run.job.flush_after_s)
        try:
            state, notices = store.settle(run.id)
        except ConservationError:
            broken.append(run.name)
            continue
        flushed += notices
        withdrawn += watch(store, run) if state is RunState.DONE else ()
        advanced = advance(store, run)
        flushed += advanced.notices
        said += advanced.said
    publish(store, queue, flushed)
    due = store.unpublished(grace_s=grace_s, dead_after=MAX_CLAIMS)
    publish(store, queue, due)
    lost = [notice for pool in store.pools() for notice in _lost(store, queue, pool, lost_after_s)]
    publish(store, queue, lost)
    return Swept(
        flushed=len(flushed),
        republished=len(due),
        lost=len(lost),
        broken_runs=tuple(broken),
        promises=tuple(said),
        withdrawn=tuple(withdrawn),
    )


def publish(store: WorkStore, queue: Queue, notices: Sequence[ChunkNotice]) -> None:
    """Publish and remember it; raises QueueUnavailable."""
    queue.publish(notices)
    store.mark_published([notice.chunk_id for notice in notices])


def _lost(store: WorkStore, queue: Queue, pool: str, lost_after_s: float) -> list[ChunkNotice]:
    # The rows are read before the queue: a chunk that is claimed in between is found in neither place and is left alone
    # by its claim; the other way round it would be taken for lost.
    waiting = store.published_pending(pool=pool, older_than_s=lost_after_s)
    if not waiting or queue.depth(pool) >= len(waiting):
        return []
    there = queue.chunk_ids(pool, taken_within_s=lost_after_s)
    return [notice for notice in waiting if notice.chunk_id not in there]
