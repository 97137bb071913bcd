"""Stores, queues and judges, put together."""

import contextlib
import functools
import os
import signal
from collections.abc import Iterator

from pipeline.adapters.celery_queue import CeleryQueue
from pipeline.adapters.entry_points import loader_within, named_entry_points
from pipeline.adapters.machine import busy_cpus
from pipeline.adapters.postgres import PostgresStore
from pipeline.adapters.processes import is_gone, worker_name
from pipeline.adapters.system_clock import SystemClock
from pipeline.adapters.user_files import load_price_book
from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.domain.tiers import Tier
from pipeline.flow.judge import Judge
from pipeline.flow.lease import LeaseKeeper, Patience
from pipeline.flow.sweep import Swept, sweep
from pipeline.ports.engine import BeatingEngine, Engine
from pipeline.ports.queue import Queue
from pipeline.ports.store import ClaimedChunk, Store
from pipeline.settings import Settings
from pipeline.telemetry import logger
from pipeline.wiring.engines import engine_for

_BUSY_CPUS = 0.3


@contextlib.contextmanager
def store_and_queue(redis_url: str, database_url: str) -> Iterator[tuple[PostgresStore, CeleryQueue]]:
    """Open both for a while."""
    with contextlib.closing(PostgresStore(database_url)) as store, contextlib.closing(CeleryQueue(redis_url)) as queue:
        yield store, queue


def price_book_for(settings: Settings) -> PriceBook:
    """Return the user's price book, or the one that is shipped."""
    return load_price_book() if settings.price_book is None else load_price_book(settings.price_book)


def judge_for(
    job: Job, tier: Tier, settings: Settings, *, threads: int | None, redis_url: str, database_url: str
) -> Judge:
    """Load the engine of a job's tier and put a worker's judge together; raises as `engine_for`.

    Runs of other jobs may come, too: steps and labels are theirs, code is not.
    """
    store = PostgresStore(database_url)
    pace = functools.partial(store.take_turn, tier.account, tier.limits)
    engine = engine_for(tier, settings, threads=threads, pace=pace)
    return Judge(
        pool=tier.pool,
        engine=engine,
        store=store,
        queue=CeleryQueue(redis_url),
        clock=SystemClock(),
        worker=worker_name(tier.name),
        lease_s=settings.lease_s,
        keep_lease=LeaseKeeper(
            store, lease_s=settings.lease_s, patience=_patience(engine, settings.stall_after_s)
        ).holding,
        entry_points_of=loader_within(named_entry_points(job) | settings.allowed_checks),
    )


def other_work() -> str | None:
    """Say that this machine is busy already, so that what is timed on it comes out too low; None where it is not."""
    busy = busy_cpus()
    if busy < _BUSY_CPUS:
        return None
    return (
        f"{busy:.1f} CPUs are busy with other work: figures come out too low, and not to be compared; end it, or "
        "measure again later"
    )


def _patience(engine: Engine, stalled_after_s: float) -> Patience:
    """End the process of an engine that is stuck: Celery starts another, and its chunk counts as one that broke it."""

    def give_up(claimed: ClaimedChunk) -> None:
        logger().error("engine_stuck", chunk=claimed.chunk_id, claims=claimed.claims, stalled_s=stalled_after_s)
        os.kill(os.getpid(), signal.SIGKILL)

    def beats() -> int:
        return engine.beats if isinstance(engine, BeatingEngine) else 0

    return Patience(beats=beats, stalled_after_s=stalled_after_s, give_up=give_up)


def swept(store: Store, queue: Queue) -> Swept:
    """Sweep, and take back at once what workers held that are gone from this machine."""
    return sweep(store, queue, is_gone=is_gone)


def system_clock() -> SystemClock:
    """Return the real clock."""
    return SystemClock()
