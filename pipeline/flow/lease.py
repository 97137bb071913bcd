"""Renew a chunk's lease while an engine is at it, so that a long chunk is not given to another worker."""

import contextlib
import threading
from collections.abc import Iterator

from pipeline.domain.errors import HeadraceError
from pipeline.ports.store import ClaimedChunk, WorkStore


@contextlib.contextmanager
def renewed(store: WorkStore, claimed: ClaimedChunk, *, lease_s: float) -> Iterator[None]:
    """Renew every third of the lease. A renewal that fails is tried again; the fence decides in the end, not this."""
    stop = threading.Event()

    def keep() -> None:
        while not stop.wait(lease_s / 3):
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
