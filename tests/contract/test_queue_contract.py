"""What every Queue promises: order, depth, what is announced, and that only a version and an id travel."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
import redis
from kombu.connection import Connection

from pipeline.adapters.celery_queue import CeleryQueue, pool_queue
from pipeline.adapters.embedded import Services
from pipeline.adapters.embedded.ports import pick_port
from pipeline.adapters.memory import MemoryQueue
from pipeline.domain.errors import ConfigError, QueueUnavailable
from pipeline.messages import VERSION, JudgeChunk, read
from pipeline.ports.queue import Queue
from pipeline.ports.store import ChunkNotice

POOL = "tier.small.0123abcd"
OTHER = "tier.large.4567cdef"


class Consumer(Protocol):
    """What stands on the other side of a queue."""

    def waiting(self, pool: str) -> list[Any]:
        """Return the decoded bodies that wait, the next one first."""
        ...

    def take(self, pool: str) -> JudgeChunk:
        """Take the next message and hold it unacknowledged."""
        ...

    def raw(self) -> bytes:
        """Return all that lies on the server."""
        ...


class MemoryConsumer:
    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue

    def waiting(self, pool: str) -> list[Any]:
        return [json.loads(body) for body in self._queue.bodies(pool)]

    def take(self, pool: str) -> JudgeChunk:
        message = self._queue.take(pool)
        assert message is not None
        return message

    def raw(self) -> bytes:
        return "".join(self._queue.bodies(POOL) + self._queue.bodies(OTHER)).encode()


class RedisConsumer:
    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url)
        self._connection = Connection(url)
        self._channel = self._connection.channel()

    def waiting(self, pool: str) -> list[Any]:
        envelopes = [json.loads(raw) for raw in reversed(self._redis.lrange(pool, 0, -1))]
        bodies = [json.loads(base64.b64decode(envelope["body"])) for envelope in envelopes]
        assert all(
            args == [] and set(embed) <= {"callbacks", "errbacks", "chain", "chord"} for args, _, embed in bodies
        )
        return [kwargs for _, kwargs, _ in bodies]

    def take(self, pool: str) -> JudgeChunk:
        message = pool_queue(pool).bind(self._channel).get(no_ack=False)
        assert message is not None
        return read(message.payload[1])

    def raw(self) -> bytes:
        found: list[bytes | str] = []
        for key in self._redis.scan_iter():
            found += self._redis.lrange(key, 0, -1) if self._redis.type(key) == b"list" else []
            found += self._redis.hvals(key) if self._redis.type(key) == b"hash" else []
        return b"".join(one for one in found if isinstance(one, bytes))

    def close(self) -> None:
        self._connection.release()
        self._redis.close()


@pytest.fixture(params=["memory", "redis"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Queue, Consumer]]:
    if request.param == "memory":
        queue = MemoryQueue()
        yield queue, MemoryConsumer(queue)
        return
    services: Services = request.getfixturevalue("services")
    with redis.Redis.from_url(services.redis_url) as client:
        client.flushdb()
    consumer = RedisConsumer(services.redis_url)
    real = CeleryQueue(services.redis_url)
    yield real, consumer
    real.close()
    consumer.close()


@pytest.fixture(params=["memory", "redis"])
def unreachable(request: pytest.FixtureRequest) -> Iterator[Queue]:
    queue: Queue = (
        MemoryQueue(reachable=False)
        if request.param == "memory"
        else CeleryQueue(f"redis://:secret@127.0.0.1:{pick_port(None)}/0")
    )
    yield queue
    queue.close()


def notice(chunk_id: int, pool: str = POOL) -> ChunkNotice:
    return ChunkNotice(chunk_id=chunk_id, run_name="tickets-0123456789", tier="small", pool=pool, items=32)


def test_chunks_wait_in_the_order_in_which_they_were_announced(ends: tuple[Queue, Consumer]) -> None:
    queue, consumer = ends
    queue.publish([notice(3), notice(1)])
    queue.publish([notice(2)])
    assert [read(body).chunk_id for body in consumer.waiting(POOL)] == [3, 1, 2]
    assert [consumer.take(POOL).chunk_id for _ in range(3)] == [3, 1, 2]


def test_a_body_carries_a_version_and_an_id_and_nothing_else(ends: tuple[Queue, Consumer]) -> None:
    queue, consumer = ends
    queue.publish([notice(7)])
    assert consumer.waiting(POOL) == [{"version": VERSION, "chunk_id": 7}]


def test_nothing_of_a_pickle_travels(ends: tuple[Queue, Consumer]) -> None:
    queue, consumer = ends
    queue.publish([notice(7)])
    raw = consumer.raw()
    assert raw
    assert b"pickle" not in raw


def test_an_empty_pool_holds_nothing(ends: tuple[Queue, Consumer]) -> None:
    queue, _ = ends
    assert queue.depth(POOL) == 0
    assert queue.chunk_ids(POOL, taken_within_s=60) == frozenset()


def test_publishing_nothing_changes_nothing(ends: tuple[Queue, Consumer]) -> None:
    queue, _ = ends
    queue.publish([])
    assert queue.depth(POOL) == 0


def test_depth_and_chunk_ids_are_those_of_the_pool(ends: tuple[Queue, Consumer]) -> None:
    queue, _ = ends
    queue.publish([notice(1), notice(2), notice(3, OTHER)])
    assert (queue.depth(POOL), queue.depth(OTHER)) == (2, 1)
    assert queue.chunk_ids(POOL, taken_within_s=60) == frozenset({1, 2})
    assert queue.chunk_ids(OTHER, taken_within_s=60) == frozenset({3})


def test_a_chunk_that_is_announced_twice_is_one_id_and_two_messages(ends: tuple[Queue, Consumer]) -> None:
    queue, _ = ends
    queue.publish([notice(1), notice(1)])
    assert queue.depth(POOL) == 2
    assert queue.chunk_ids(POOL, taken_within_s=60) == frozenset({1})


def test_a_message_that_a_worker_just_took_still_counts(ends: tuple[Queue, Consumer]) -> None:
    queue, consumer = ends
    queue.publish([notice(1), notice(2)])
    assert consumer.take(POOL).chunk_id == 1
    assert queue.depth(POOL) == 1
    assert queue.chunk_ids(POOL, taken_within_s=60) == frozenset({1, 2})


def test_a_message_that_a_worker_took_long_ago_counts_no_more(ends: tuple[Queue, Consumer]) -> None:
    queue, consumer = ends
    queue.publish([notice(1), notice(2)])
    assert consumer.take(POOL).chunk_id == 1
    time.sleep(0.2)
    assert queue.chunk_ids(POOL, taken_within_s=0.1) == frozenset({2})


def test_a_backlog_of_thousands_is_read_whole(ends: tuple[Queue, Consumer]) -> None:
    queue, _ = ends
    queue.publish([notice(number) for number in range(2500)])
    assert queue.depth(POOL) == 2500
    assert queue.chunk_ids(POOL, taken_within_s=60) == frozenset(range(2500))


def test_large_ids_travel_unchanged(ends: tuple[Queue, Consumer]) -> None:
    queue, consumer = ends
    queue.publish([notice(2**62)])
    assert consumer.take(POOL).chunk_id == 2**62


def test_a_server_that_answers_is_pinged(ends: tuple[Queue, Consumer]) -> None:
    queue, _ = ends
    queue.ping()


def test_an_unreachable_server_is_unavailable_in_every_call(unreachable: Queue) -> None:
    for ask in (
        unreachable.ping,
        lambda: unreachable.publish([notice(1)]),
        lambda: unreachable.depth(POOL),
        lambda: unreachable.chunk_ids(POOL, taken_within_s=60),
    ):
        with pytest.raises(QueueUnavailable) as caught:
            ask()
        assert "secret" not in str(caught.value)


def test_a_wrong_password_is_unavailable_and_not_shown(services: Services) -> None:
    queue = CeleryQueue(f"redis://:wrong-password@127.0.0.1:{services.redis_port}/0")
    with pytest.raises(QueueUnavailable) as caught:
        queue.publish([notice(1)])
    assert "wrong-password" not in str(caught.value)
    queue.close()


@pytest.mark.parametrize("url", ["amqp://localhost", "localhost:6379", "", "postgresql://localhost"])
def test_a_url_of_another_broker_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        CeleryQueue(url)


def test_what_is_not_ours_on_the_queue_is_passed_over(services: Services) -> None:
    with redis.Redis.from_url(services.redis_url) as client:
        client.flushdb()
        client.lpush(POOL, json.dumps({"body": "bm90IGpzb24=", "headers": {}}), json.dumps({"else": 1}))
    queue = CeleryQueue(services.redis_url)
    queue.publish([notice(5)])
    assert queue.chunk_ids(POOL, taken_within_s=60) == frozenset({5})
    queue.close()
