"""How far ahead chunks are announced."""

from collections.abc import Sequence

import pytest

from pipeline.adapters.memory import FakeClock, MemoryQueue, MemoryStore
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.flow.announcing import FEW_AHEAD, ahead_of, announce, announce_next
from pipeline.flow.ingest import new_run
from pipeline.ports.store import ChunkNotice, ClaimedChunk


@pytest.mark.parametrize(("chunk_s", "ahead"), [(0.0, 64), (0.01, 64), (0.5, 10), (1.0, 5), (60.0, 4), (3600.0, 4)])
def test_five_seconds_of_chunks_are_announced_ahead_but_not_fewer_than_four(chunk_s: float, ahead: int) -> None:
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


def claimed(announced: int) -> ClaimedChunk:
    return ClaimedChunk(
        chunk_id=1,
        run_id=1,
        tier_no=0,
        generation=0,
        fence=1,
        claims=1,
        item_nos=(0,),
        step_masks=(1,),
        texts=("a",),
        announced=announced,
    )


@pytest.mark.parametrize(
    ("announced", "ahead"),
    [(10, None), (6, None), (5, 10), (1, 10), (0, 40)],
    ids=["many", "more", "half", "few", "none"],
)
def test_who_claims_announces_the_next_where_few_are_left_and_more_where_none_is(
    announced: int, ahead: int | None
) -> None:
    asked: list[int] = []

    class Asking(MemoryStore):
        def due(self, *, ahead: int, run_id: int | None = None, tier_no: int | None = None) -> Sequence[ChunkNotice]:
            assert (run_id, tier_no) == (1, 0)
            asked.append(ahead)
            return ()

    announce_next(MemoryQueue(), Asking(FakeClock()), claimed(announced), chunk_s=0.5)
    assert asked == ([] if ahead is None else [ahead])
