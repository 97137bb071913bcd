"""Sweeping from a loop, and what every long command holds open."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline import telemetry
from pipeline.domain.errors import ConfigError, QueueUnavailable, StoreUnavailable
from pipeline.domain.job import Job
from pipeline.flow.sweep import Swept
from pipeline.ports.queue import Queue
from pipeline.ports.store import Store
from pipeline.settings import Settings
from pipeline.wiring import store_and_queue
from pipeline.wiring.parts import swept, system_clock
from pipeline.wiring.policies import review
from pipeline.wiring.servers import Role, servers

_LOOK_EVERY_S = 3600.0
_DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What following a run needs."""

    settings: Settings
    store: Store
    queue: Queue


class Sweeper:
    """Sweeps now and then, from a loop that calls it often; outages of Redis or Postgres are waited out."""

    def __init__(self, tools: Tools) -> None:
        """Sweep at the first call."""
        self._tools = tools
        self._next_s = 0.0
        self._erase = TextEraser(tools)

    def __call__(self) -> None:
        """Sweep if it is time."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + self._tools.settings.sweep_every_s
        try:
            done = swept(self._tools.store, self._tools.queue)
            self._erase()
        except (QueueUnavailable, StoreUnavailable) as error:
            telemetry.logger().warning("sweep_failed", reason=str(error))
            return
        report_sweep(done)


class TextEraser:
    """Erases the texts of runs that ended HEADRACE_KEEP_TEXT_DAYS ago: a part at each call, then looks every hour."""

    def __init__(self, tools: Tools) -> None:
        """Look at the first call."""
        self._tools = tools
        self._next_s = 0.0

    def __call__(self) -> int:
        """Erase if it is time; returns how many texts. Raises StoreUnavailable."""
        days = self._tools.settings.keep_text_days
        if days is None or time.monotonic() < self._next_s:
            return 0
        erased = self._tools.store.erase_texts(ended_for_s=days * _DAY_S)
        if not erased.more:
            self._next_s = time.monotonic() + _LOOK_EVERY_S
        if erased.texts or erased.runs:
            telemetry.logger().info("texts_erased", texts=erased.texts, runs=list(erased.runs))
        return erased.texts


class Reviewer:
    """Looks every hour whether a job's review is due; what cannot be written or read is logged, and tried again."""

    def __init__(self, job: Job, store: Store, settings: Settings) -> None:
        """Look at the first call."""
        self._job, self._store, self._settings = job, store, settings
        self._next_s = 0.0

    def __call__(self) -> None:
        """Look if it is time."""
        if self._job.review is None or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _LOOK_EVERY_S
        try:
            path = review(self._job, self._store, self._settings, clock=system_clock())
        except (ConfigError, StoreUnavailable, OSError) as error:
            telemetry.logger().warning("review_failed", reason=str(error))
            return
        if path is not None:
            telemetry.logger().warning("review_proposed", file=str(path))


def report_sweep(done: Swept) -> None:
    """Log what a sweep did, if anything."""
    if done.taken_back or done.lost:
        telemetry.logger().info("swept", taken_back=done.taken_back, lost=done.lost)
    for withdrawal in done.withdrawn:
        telemetry.logger().error("certificate_withdrawn", said=withdrawal)
    for promise in done.promises:
        telemetry.logger().info("promise", said=promise)
    for run in done.broken_runs:
        telemetry.logger().error("conservation_broken", run=run)


@contextlib.contextmanager
def open_tools(settings: Settings, role: Role) -> Iterator[Tools]:
    """Find the servers and open store and queue for a while."""
    with servers(settings, role) as found, store_and_queue(found.redis_url, found.database_url) as both:
        yield Tools(settings=settings, store=both[0], queue=both[1])
