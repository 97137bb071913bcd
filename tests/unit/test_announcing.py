"""How far ahead chunks are announced."""

import pytest

from pipeline.adapters.memory import FakeClock, MemoryQueue, MemoryStore
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.flow.announcing import FEW_AHEAD, ahead_of, announce
from pipeline.flow.ingest import new_run


@pytest.mark.parametrize(("chunk_s", "ahead"), [(0.0, 64), (0.01, 64), (0.5, 20), (2.0, 5), (60.0, 4), (3600.0, 4)])
def test_ten_seconds_of_chunks_are_announced_ahead_but_not_fewer_than_four(chunk_s: float, ahead: int) -> None:
    assert ahead_of(chunk_s) == ahead


def test_what_redis_did_not_take_is_due_again() -> None:
    store, queue = MemoryStore(FakeClock()), MemoryQueue()
    tiers = [{"name": "small", "engine": "instant", "model": "m", "chunk_items": 1}]
    job = Job.model_validate({"name": "j", "steps": [{"name": "mood", "kind": "sentiment"}], "tiers": tiers})
    run, _ = store.open_run(new_run(job, "0" * 64, PriceBook()))
    rows = [Item(key=str(n), source="s", line=n, text=f"text {n}") for n in range(20)]
    store.add_rows(run.id, rows, at=0, keyed=False)
    assert announce(MemoryQueue(reachable=False), store, run.id) == FEW_AHEAD
    assert announce(queue, store, run.id) == 0
    assert queue.depth(job.tiers[0].pool) == FEW_AHEAD
