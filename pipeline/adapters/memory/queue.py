"""A queue in memory. Messages are kept as the JSON that would travel, so that what cannot travel fails here too."""

import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Sequence

from pipeline.domain.errors import QueueUnavailable
from pipeline.messages import JudgeChunk, read
from pipeline.ports.store import ChunkNotice


class MemoryQueue:
    """Fulfils ports.queue.Queue, first in, first out; `take` and `ack` are the worker's side of it."""

    def __init__(self, *, reachable: bool = True) -> None:
        """Begin empty; one that is not `reachable` refuses everything, like a server that is down."""
        self.reachable = reachable
        self._lock = threading.Lock()
        self._waiting: defaultdict[str, deque[str]] = defaultdict(deque)
        self._held: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)

    def publish(self, notices: Sequence[ChunkNotice]) -> None:
        """Announce chunks, in order; raises QueueUnavailable."""
        self.ping()
        with self._lock:
            for notice in notices:
                self._waiting[notice.pool].append(JudgeChunk(chunk_id=notice.chunk_id).model_dump_json())

    def depth(self, pool: str) -> int:
        """Return how many messages wait."""
        self.ping()
        with self._lock:
            return len(self._waiting.get(pool, ()))

    def chunk_ids(self, pool: str, *, taken_within_s: float) -> frozenset[int]:
        """Return the chunks whose messages wait, or were taken that recently."""
        bodies = self._bodies(pool, taken_after_s=time.monotonic() - taken_within_s)
        return frozenset(read(json.loads(body)).chunk_id for body in bodies)

    def ping(self) -> None:
        """Return if the server answers; raises QueueUnavailable."""
        if not self.reachable:
            raise QueueUnavailable("the in-memory queue was made unreachable or is closed: set `reachable`")

    def close(self) -> None:
        """Refuse from now on."""
        self.reachable = False

    def take(self, pool: str) -> JudgeChunk | None:
        """Return the oldest message and hold it unacknowledged; None when none waits."""
        self.ping()
        with self._lock:
            if not self._waiting[pool]:
                return None
            body = self._waiting[pool].popleft()
            self._held[pool].append((body, time.monotonic()))
        return read(json.loads(body))

    def ack(self, pool: str, message: JudgeChunk) -> None:
        """Forget a message that was taken."""
        with self._lock:
            bodies = [body for body, _ in self._held[pool]]
            self._held[pool].pop(bodies.index(message.model_dump_json()))

    def bodies(self, pool: str) -> tuple[str, ...]:
        """Return the raw messages, those held unacknowledged first."""
        return self._bodies(pool)

    def lose(self, pool: str) -> None:
        """Lose all messages of a pool, as a Redis does whose disk is gone."""
        with self._lock:
            self._waiting.pop(pool, None)
            self._held.pop(pool, None)

    def _bodies(self, pool: str, *, taken_after_s: float = 0.0) -> tuple[str, ...]:
        self.ping()
        with self._lock:
            held = (body for body, taken_s in self._held.get(pool, ()) if taken_s > taken_after_s)
            return (*held, *self._waiting.get(pool, ()))
