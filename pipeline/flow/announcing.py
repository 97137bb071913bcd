"""Announce chunks a few ahead of their workers, never all at once.

Redis is a queue of hints: first in, first out. Were all chunks of a run announced when they are stored, a run of ten
tickets would wait behind one of a million, and Redis would have to hold the million. So each tier of a run has only a
few chunks announced, and whoever claims one announces the next: runs that share workers take turns.
"""

import math

from pipeline.domain.errors import QueueUnavailable
from pipeline.ports.queue import Queue
from pipeline.ports.store import ClaimedChunk, WorkStore

FEW_AHEAD = 8
"""Of each tier of a run, until it is known how long its chunks take."""
_LEAST_AHEAD, _MOST_AHEAD = 4, 64
_AHEAD_S = 5.0
_STARVED = 4


def ahead_of(chunk_s: float) -> int:
    """Return how many chunks to announce ahead where one takes so many seconds: five seconds of them, 4 to 64."""
    return min(_MOST_AHEAD, max(_LEAST_AHEAD, math.ceil(_AHEAD_S / max(chunk_s, 1e-6))))


def announce(
    queue: Queue, store: WorkStore, run_id: int | None = None, *, tier_no: int | None = None, ahead: int = FEW_AHEAD
) -> int:
    """Publish what is due of a tier, a run, or all; returns how many could not be, which a sweep makes good."""
    notices = store.due(ahead=ahead, run_id=run_id, tier_no=tier_no)
    try:
        queue.publish(notices)
    except QueueUnavailable:
        store.not_announced([notice.chunk_id for notice in notices])
        return len(notices)
    return 0


def announce_next(queue: Queue, store: WorkStore, claimed: ClaimedChunk, *, chunk_s: float | None) -> None:
    """Publish the next chunks of a claimed one's tier where few are left, and more where none is: many work there."""
    ahead = FEW_AHEAD if chunk_s is None else ahead_of(chunk_s)
    if 2 * claimed.announced <= ahead:
        more = 1 if claimed.announced else _STARVED
        announce(queue, store, claimed.run_id, tier_no=claimed.tier_no, ahead=min(_MOST_AHEAD, more * ahead))
