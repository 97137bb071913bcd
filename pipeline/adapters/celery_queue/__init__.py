"""Celery on Redis as the Queue port, and Redis' address as its clients take it."""

from pipeline.adapters.celery_queue.address import broker_url, client_url, redis_exposures
from pipeline.adapters.celery_queue.queue import CeleryQueue, celery_settings, chunk_ids_in, pool_queue

__all__ = [
    "CeleryQueue",
    "broker_url",
    "celery_settings",
    "chunk_ids_in",
    "client_url",
    "pool_queue",
    "redis_exposures",
]
