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
        """Return how many messages wait or are held unacknowledged."""
        ...

    def chunk_ids(self, pool: str) -> frozenset[int]:
        """Return the chunks that are announced on a queue or held unacknowledged. Reads the whole queue."""
        ...

    def ping(self) -> None:
        """Return if the server answers; raises QueueUnavailable."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...
