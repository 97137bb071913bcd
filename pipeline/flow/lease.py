"""Renew a chunk's lease while an engine is at it, so that a long chunk is not given to another worker.

But not for ever: an engine that does not get on is stuck, and renewing its lease would keep the chunk from everybody.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.domain.errors import HeadraceError
from pipeline.ports.store import ClaimedChunk, WorkStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """With an engine that does not get on."""

    beats: Callable[[], int]
    """Grows with every part of the work that is done."""
    stalled_after_s: float
    """So long without any of it, and the engine is stuck."""
    give_up: Callable[[ClaimedChunk], None]
    """What to do then; the lease is not renewed any more."""


@contextlib.contextmanager
def renewed(
    store: WorkStore, claimed: ClaimedChunk, *, lease_s: float, patience: Patience | None = None
) -> Iterator[None]:
    """Renew every third of the lease. A renewal that fails is tried again; the fence decides in the end, not this."""
    stop = threading.Event()

    def keep() -> None:
        seen, since_s = -1, time.monotonic()
        while not stop.wait(lease_s / 3):
            if patience is not None:
                beats, now_s = patience.beats(), time.monotonic()
                if beats != seen:
                    seen, since_s = beats, now_s
                elif now_s - since_s >= patience.stalled_after_s:
                    patience.give_up(claimed)
                    return
            with contextlib.suppress(HeadraceError):
                if not store.renew(claimed, lease_s=lease_s):
                    return

    thread = threading.Thread(target=keep, name=f"lease-{claimed.chunk_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
