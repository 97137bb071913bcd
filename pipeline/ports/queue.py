"""Queue: announces chunks to the workers of a tier. It carries hints only; losing all of it loses nothing."""

from collections.abc import Sequence
from typing import Protocol

from pipeline.ports.store import ChunkNotice


class Queue(Protocol):
    """One named queue per pool."""

    def publish(self, notices: Sequence[ChunkNotice]) -> None:
        """Announce chunks, in order; raises QueueUnavailable."""
        ...

    def depth(self, pool: str) -> int:
        """Return how many messages wait; those that a worker took are no longer among them."""
        ...

    def chunk_ids(self, pool: str, *, taken_within_s: float) -> frozenset[int]:
        """Return the chunks whose messages wait, or were taken by a worker that recently. Reads the whole queue.

        What was taken longer ago and is not claimed is in nobody's hands: its worker died between the two.
        """
        ...

    def ping(self) -> None:
        """Return if the server answers; raises QueueUnavailable."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...
