"""Renew a chunk's lease while an engine is at it, so that a long chunk is not given to another worker.

But not for ever: an engine that does not get on is stuck, and renewing its lease would keep the chunk from everybody.
One thread does it for all chunks of a process: where memory has run out, a new one may never begin, and who waits for
its beginning waits for ever.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

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


@dataclass(slots=True, kw_only=True)
class _Held:
    claimed: ClaimedChunk
    beats: int = -1
    since_s: float = 0.0


class LeaseKeeper:
    """Renews the lease of the chunk that this process is at, every third of the lease. A context manager for tests."""

    def __init__(self, store: WorkStore, *, lease_s: float, patience: Patience | None = None) -> None:
        """Begin to look."""
        self._store, self._lease_s, self._patience = store, lease_s, patience
        self._held: _Held | None = None
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def holding(self, claimed: ClaimedChunk) -> Iterator[None]:
        """Keep a claim for as long as the block takes. The fence decides in the end who held it, not this."""
        held = _Held(claimed=claimed, since_s=time.monotonic())
        with self._lock:
            self._held = held
        try:
            yield
        finally:
            with self._lock:  # a renewal that is under way ends first
                self._held = None

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def __enter__(self) -> Self:
        """Return the keeper itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self.close()

    def _keep(self) -> None:
        while not self._ended.wait(self._lease_s / 3):
            # Whatever goes wrong (Postgres is down, memory has run out) may be over by the next time.
            with contextlib.suppress(Exception), self._lock:
                if self._held is not None and not self._renewed(self._held):
                    self._held = None

    def _renewed(self, held: _Held) -> bool:
        """Renew; False when there is nothing more to renew: the claim was lost, or the engine is given up."""
        if self._patience is not None:
            beats, now_s = self._patience.beats(), time.monotonic()
            if beats != held.beats:
                held.beats, held.since_s = beats, now_s
            elif now_s - held.since_s >= self._patience.stalled_after_s:
                self._patience.give_up(held.claimed)
                return False
        return self._store.renew(held.claimed, lease_s=self._lease_s)
