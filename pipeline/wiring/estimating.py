"""estimate: a sample of the inputs through the job's own cascade, in this process and in memory; nothing is kept."""

import contextlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from pipeline.adapters.entry_points import load_entry_points
from pipeline.adapters.memory import MemoryQueue, MemoryStore
from pipeline.domain.errors import EngineUnavailable
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.flow.announcing import announce
from pipeline.flow.estimate import Trial
from pipeline.flow.ingest import new_run
from pipeline.flow.judge import Judge
from pipeline.ports.clock import Clock
from pipeline.ports.store import Committed, JudgedChunk, RunRecord, Window
from pipeline.settings import Settings
from pipeline.wiring.engines import engine_for
from pipeline.wiring.formats import Say, Show
from pipeline.wiring.fusing import fused_by_evidence

_LEASE_S = 86_400.0
_NOBODY = "estimate"


class _Scratch(MemoryStore):
    """A store that remembers what was committed, and in which nothing is drawn: a sample is no run to certify."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.judged: list[JudgedChunk] = []

    def commit(self, judged: JudgedChunk) -> Committed:
        self.judged.append(judged)
        return super().commit(judged)

    def windows(self, run_id: int) -> Sequence[Window]:  # noqa: ARG002 — of no run
        return ()

    def hold_refused(self, run_id: int) -> bool:  # noqa: ARG002 — of no run
        return False


def tried(
    job: Job,
    items: Sequence[Item],
    prices: PriceBook,
    settings: Settings,
    *,
    paid: bool,
    clock: Clock,
    say: Say,
    show: Show,
) -> Trial:
    """Ask the job's tiers as a run would; endpoints only if `paid`. Raises ConfigError, and EngineUnavailable."""
    job = job.model_copy(update={"budget": None})  # what is asked here is no part of a run
    store, queue = _Scratch(clock), MemoryQueue()
    run, _ = store.open_run(new_run(job, _NOBODY, prices, fused=fused_by_evidence(job, settings)))
    store.add_rows(run.id, [replace(item, key=str(number)) for number, item in enumerate(items)], at=0, keyed=False)
    store.finish_ingest(run.id)
    seconds: dict[int, float] = {}
    for tier_no, tier in enumerate(job.tiers):
        store.flush(run.id, older_than_s=0.0)
        announce(queue, store, run.id, ahead=len(items) * len(job.steps))
        if tier.engine == "openai" and not paid:
            continue
        seconds[tier_no] = 0.0
        if queue.depth(tier.pool):
            say(f"{tier.name}: loading {tier.model}")
            seconds[tier_no] = _answered(run, tier_no, store, queue, settings, clock=clock, show=show)
    today = clock.now().date()
    return Trial(
        job=job,
        texts=[item.text for item in items],
        prices={number: prices.price(tier.price, today) for number, tier in enumerate(job.tiers)},
        judged=store.judged,
        seconds=seconds,
    )


def _answered(
    run: RunRecord,
    tier_no: int,
    store: _Scratch,
    queue: MemoryQueue,
    settings: Settings,
    *,
    clock: Clock,
    show: Show,
) -> float:
    """Have one tier answer all that waits for it; returns for how many seconds it was at it."""
    tier = run.job.tiers[tier_no]
    chunks = queue.depth(tier.pool)
    seconds = 0.0
    with closing(engine_for(tier, settings)) as engine:
        judge = Judge(
            pool=tier.pool,
            engine=engine,
            store=store,
            queue=queue,
            clock=clock,
            worker=_NOBODY,
            lease_s=_LEASE_S,
            keep_lease=lambda _: contextlib.nullcontext(),
            entry_points_of=load_entry_points,
        )
        for number in range(chunks):
            show(f"{tier.name} answers", number, chunks, "")
            message = queue.take(tier.pool)
            if message is not None:
                done = judge.judge(message.chunk_id)
                if done.result == "outage":
                    raise EngineUnavailable(f"{tier.name} stopped answering: {done.reason}; try again later")
                seconds += done.seconds
        show(f"{tier.name} answers", chunks, chunks, "")
    return seconds
