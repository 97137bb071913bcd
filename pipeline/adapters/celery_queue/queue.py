"""Celery on Redis as the Queue port: publishes by task *name*, so that nothing here imports the workers.

The messages are hints. What Celery and kombu would do with a message's state (results, retries, countdowns) is switched
off: the truth is the chunk's row in Postgres. See `workers` for the consuming side, which shares `celery_settings`.
"""

import base64
import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import kombu.exceptions
import redis
import redis.exceptions
from celery import Celery
from kombu.entity import Exchange, Queue

from pipeline.adapters.celery_queue.address import MaskedAddress, broker_ssl, broker_url, client_url
from pipeline.domain.errors import QueueUnavailable
from pipeline.messages import JUDGE_TASK, JudgeChunk
from pipeline.ports.store import ChunkNotice

VISIBILITY_TIMEOUT_S = 3600
_SOCKET_TIMEOUT_S = 10
_SLICE = 1000
_FAULTS = (
    redis.exceptions.RedisError,
    kombu.exceptions.OperationalError,
    kombu.exceptions.BatchPublishError,
    ConnectionError,
    TimeoutError,
)


def pool_queue(pool: str) -> Queue:
    """Return a pool's queue. The routing key is named: without one, kombu binds it where it gets everything."""
    return Queue(pool, Exchange(pool), routing_key=pool)


def celery_settings(url: str) -> dict[str, Any]:
    """Return what both sides of the queue agree on."""
    return {
        "broker_url": MaskedAddress(broker_url(url)),
        # The same as in the URL, for Flower, which reads only this.
        "broker_use_ssl": broker_ssl(url),
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "task_ignore_result": True,
        "result_backend": None,
        "result_expires": None,  # else beat would ask every night for results to be cleaned up
        "task_create_missing_queues": False,
        "task_send_sent_event": False,
        "enable_utc": True,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_timeout": _SOCKET_TIMEOUT_S,
            "socket_connect_timeout": _SOCKET_TIMEOUT_S,
            "socket_keepalive": True,
            "max_retries": 0,
        },
    }


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        raise QueueUnavailable(f"Redis does not answer ({type(error).__name__}): is it running?") from None


class CeleryQueue:
    """Announces chunks on Redis."""

    def __init__(self, url: str) -> None:
        """Connect lazily; raises ConfigError for a URL that is none of Redis."""
        self._app = Celery("headrace", set_as_current=False)
        self._app.conf.update(celery_settings(url))
        self._redis = redis.Redis.from_url(
            client_url(url), socket_timeout=_SOCKET_TIMEOUT_S, socket_connect_timeout=_SOCKET_TIMEOUT_S
        )

    def publish(self, notices: Sequence[ChunkNotice]) -> None:
        """Announce chunks, in order. The shown arguments name the chunk for Flower; the body carries its id only."""
        if not notices:
            return
        with (
            _translated(),
            self._app.connection_for_write() as connection,
            self._app.amqp.Producer(connection) as producer,
            producer.batch(_SLICE),
        ):
            bound = {pool: pool_queue(pool)(producer.channel) for pool in {notice.pool for notice in notices}}
            for notice in notices:
                shown = f"{notice.tier} chunk {notice.chunk_id} of {notice.run_name}, {notice.items} items"
                self._app.send_task(
                    JUDGE_TASK,
                    kwargs=JudgeChunk(chunk_id=notice.chunk_id).model_dump(),
                    queue=bound[notice.pool],
                    producer=producer,
                    argsrepr=f"({shown})",
                    kwargsrepr="{}",
                    retry=False,
                )

    def depth(self, pool: str) -> int:
        """Return how many messages wait."""
        with _translated():
            return int(self._redis.llen(pool))

    def chunk_ids(self, pool: str, *, taken_within_s: float) -> frozenset[int]:
        """Return the chunks whose messages wait, or were taken that recently from any pool.

        kombu keeps taken messages of all pools together, with the time on the taker's clock; the clocks of a cluster
        are assumed to agree within a few seconds.
        """
        found: set[int] = set()
        with _translated():
            for start in range(0, max(int(self._redis.llen(pool)), 1), _SLICE):
                for raw in self._redis.lrange(pool, start, start + _SLICE - 1):
                    found |= chunk_ids_in(raw)
            taken = cast(
                "list[bytes]", self._redis.zrangebyscore("unacked_index", time.time() - taken_within_s, "+inf")
            )
            for held in self._redis.hmget("unacked", taken) if taken else ():
                found |= chunk_ids_in(held) if held else set()
        return frozenset(found)

    def ping(self) -> None:
        """Return if Redis answers."""
        with _translated():
            self._redis.ping()

    def close(self) -> None:
        """Give back connections."""
        self._redis.close()
        self._app.close()


def chunk_ids_in(raw: bytes | str) -> set[int]:
    """Return the chunk that what lies on the queue announces, waiting or taken; nothing for what is not ours.

    Whoever has Redis' password can put anything there: nothing of it may end a sweep.
    """
    try:
        envelope = json.loads(raw)
        if isinstance(envelope, list):  # as kombu keeps what is taken: with exchange and routing key
            envelope = envelope[0]
        body = json.loads(base64.b64decode(envelope["body"]))
        return {JudgeChunk.model_validate(body[1]).chunk_id}
    except (KeyError, TypeError, ValueError, IndexError, RecursionError):
        return set()
