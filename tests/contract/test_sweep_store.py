"""What keeps a run going: settling, flushing, announcing again, pauses and probes."""

import threading
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from pipeline.domain.budget import Budget
from pipeline.domain.outcomes import LOW_CONFIDENCE, Escalation, Outcome, Verdict
from pipeline.domain.runs import RunState
from pipeline.ports.store import ChunkNotice, RunRecord
from tests.contract.store_cases import (
    LONG_S,
    MANY,
    MOOD,
    PATIENT,
    TOPIC,
    Rig,
    accept,
    escalate,
    items,
    judge,
    make_job,
    tier,
)

THREE_TIERS = (tier("small"), tier("medium"), tier("large"))


def one_up(item_no: int, step_no: int, tier_no: int) -> Outcome:  # noqa: ARG001 — a Decide
    return Verdict() if tier_no == 2 else Escalation(tier_no + 1, LOW_CONFIDENCE)


def pause(rig: Rig, run_id: int, tier_no: int = 0, *, for_s: float = LONG_S) -> None:
    rig.store.pause_tier(run_id, tier_no, reason="the endpoint does not answer", first_s=for_s, longest_s=for_s)


def due(rig: Rig, *, dead_after: int) -> Sequence[ChunkNotice]:
    rig.store.take_back(dead_after=dead_after)
    return rig.store.due(ahead=MANY)


def test_what_waits_goes_on_when_nothing_more_can_come(rig: Rig) -> None:
    run = rig.filled("abcde", make_job(tiers=[tier("small", chunk_items=3), tier("large", chunk_items=100)]))
    rig.judge_next(escalate)
    assert rig.store.settle(run.id) == (RunState.RUNNING, ())
    rig.judge_next(escalate)
    state, notices = rig.store.settle(run.id)
    assert state is RunState.RUNNING
    assert [(notice.tier, notice.items) for notice in notices] == [("large", 5)]
    assert rig.store.settle(run.id) == (RunState.RUNNING, ())


def test_what_waits_stays_while_the_source_is_read(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, items("ab"), at=0, keyed=False)
    rig.judge_next(escalate)
    assert rig.store.settle(run.id) == (RunState.INGESTING, ())


def test_the_end_of_the_source_lets_go_on_what_waits(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, items("ab"), at=0, keyed=False)
    rig.judge_next(escalate)
    rig.store.finish_ingest(run.id)
    rig.store.settle(run.id)
    assert [(notice.tier, notice.items) for notice in rig.waiting()] == [("large", 2)]


def test_a_tier_waits_for_those_below_it_and_not_only_for_the_lowest(rig: Rig) -> None:
    run = rig.filled("abcdef", make_job(MOOD, {**TOPIC, "ladder": ["medium", "large"]}, tiers=THREE_TIERS))
    while any(notice.tier == "medium" for notice in rig.waiting()):
        notice = next(notice for notice in rig.waiting() if notice.tier == "medium")
        rig.store.commit(judge(rig.claim(notice.chunk_id), one_up))
    before = {notice.chunk_id for notice in rig.waiting() if notice.tier == "large"}
    rig.store.settle(run.id)
    assert {notice.chunk_id for notice in rig.waiting() if notice.tier == "large"} == before
    assert rig.finish(run, one_up) is RunState.DONE
    steps = rig.store.progress(run.id).steps
    assert (steps["mood"].verdicts["large"], steps["topic"].verdicts["large"]) == (6, 6)


def test_a_run_with_nothing_open_is_done_and_stays_done(rig: Rig) -> None:
    run = rig.filled("a")
    rig.judge_next()
    assert rig.store.settle(run.id) == (RunState.DONE, ())
    assert rig.store.settle(run.id) == (RunState.DONE, ())
    assert rig.store.run(run.id).state is RunState.DONE


def test_a_claimed_chunk_keeps_a_run_open(rig: Rig) -> None:
    run = rig.filled("a")
    rig.claim_first(lease_s=0)
    assert rig.store.settle(run.id) == (RunState.RUNNING, ())


def test_a_cancelled_run_is_not_settled(rig: Rig) -> None:
    run = rig.filled("a")
    rig.store.cancel(run.id)
    assert rig.store.settle(run.id) == (RunState.CANCELLED, ())


def test_active_runs_are_those_that_ingest_or_run(rig: Rig) -> None:
    ingesting, running, done, cancelled = rig.open(), rig.filled("a"), rig.filled("b"), rig.filled("c")
    rig.store.cancel(cancelled.id)
    notice = next(notice for notice in rig.waiting() if notice.run_name == done.name)
    rig.store.commit(judge(rig.claim(notice.chunk_id)))
    rig.store.settle(done.id)
    assert {run.id for run in rig.store.active_runs()} == {ingesting.id, running.id}


def test_escalations_that_waited_long_enough_go_on_though_the_chunk_is_not_full(rig: Rig) -> None:
    run = rig.filled("abcde", make_job(MOOD, TOPIC, tiers=[tier("small", chunk_items=3), tier("large", chunk_items=9)]))
    rig.judge_next(escalate)
    assert rig.store.flush(run.id, older_than_s=LONG_S) == ()
    notices = rig.store.flush(run.id, older_than_s=0)
    assert [(notice.tier, notice.items) for notice in notices] == [("large", 3)]
    assert rig.claim(notices[0].chunk_id).step_masks == (0b11, 0b11, 0b11)
    assert rig.store.flush(run.id, older_than_s=0) == ()


def test_a_flush_keeps_to_the_size_of_a_chunk(rig: Rig) -> None:
    job = make_job(MOOD, TOPIC, tiers=[tier("small", chunk_items=3), tier("large", chunk_items=4)])
    run = rig.filled("abcdef", job)
    rig.judge_next(escalate)
    rig.judge_next(escalate)
    sizes = [notice.items for notice in rig.store.flush(run.id, older_than_s=0)]
    assert sizes == [2]


def many(rig: Rig, count: int = 5) -> RunRecord:
    """Return a run of so many chunks of one item each."""
    return rig.filled([f"text {number}" for number in range(count)], make_job(tiers=[tier("small", chunk_items=1)]))


def test_only_so_many_chunks_are_announced_ahead_the_oldest_first(rig: Rig) -> None:
    many(rig)
    everything = [notice.chunk_id for notice in rig.waiting()]
    assert [notice.chunk_id for notice in rig.store.due(ahead=2)] == everything[:2]
    assert rig.store.due(ahead=2) == []
    assert [notice.chunk_id for notice in rig.store.due(ahead=3)] == everything[2:3]


def test_a_claim_makes_room_for_the_next_chunk_and_tells_how_many_others_are_announced(rig: Rig) -> None:
    run = many(rig)
    first, second, third = rig.store.due(ahead=3)
    assert rig.claim(first.chunk_id).announced == 2
    assert rig.claim(second.chunk_id).announced == 1
    assert [notice.chunk_id > third.chunk_id for notice in rig.store.due(ahead=3, run_id=run.id)] == [True, True]


def test_every_run_has_its_own_chunks_announced_so_that_a_small_one_does_not_wait_behind_a_large_one(rig: Rig) -> None:
    large, small = many(rig, 50), many(rig, 2)
    due = rig.store.due(ahead=3)
    assert Counter(notice.run_name for notice in due) == {large.name: 3, small.name: 2}


def test_only_the_run_that_is_asked_for_is_announced(rig: Rig) -> None:
    first, second = many(rig), many(rig)
    assert {notice.run_name for notice in rig.store.due(ahead=9, run_id=second.id)} == {second.name}
    assert {notice.run_name for notice in rig.store.due(ahead=9)} == {first.name}


def test_only_the_tier_that_is_asked_for_is_announced(rig: Rig) -> None:
    run = rig.filled("abc", make_job(MOOD, {**TOPIC, "ladder": ["large"]}))
    assert [notice.tier for notice in rig.store.due(ahead=9, run_id=run.id, tier_no=1)] == ["large"]
    assert [notice.tier for notice in rig.store.due(ahead=9, run_id=run.id)] == ["small"]


def test_what_could_not_be_announced_is_due_again(rig: Rig) -> None:
    many(rig)
    due = rig.store.due(ahead=2)
    rig.store.not_announced([notice.chunk_id for notice in due])
    assert rig.store.due(ahead=2) == due


def test_workers_that_announce_at_once_announce_each_chunk_once(rig: Rig) -> None:
    many(rig, 40)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.extend(one.chunk_id for one in rig.store.due(ahead=1000)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found += [one.chunk_id for one in rig.store.due(ahead=1000)]
    assert len(found) == len(set(found)) == 40


def test_a_notice_names_run_tier_pool_and_size(rig: Rig) -> None:
    job = make_job()
    run = rig.filled("abc", job)
    notice = rig.waiting()[0]
    assert (notice.run_name, notice.tier, notice.pool, notice.items) == (run.name, "small", job.tiers[0].pool, 3)


def test_a_published_chunk_is_left_alone(rig: Rig) -> None:
    rig.filled("a")
    rig.store.mark_published([rig.waiting()[0].chunk_id])
    assert rig.waiting() == []


def test_a_chunk_whose_lease_ran_out_is_announced_again(rig: Rig) -> None:
    rig.filled("a")
    claimed = rig.claim_first(lease_s=0)
    rig.store.mark_published([claimed.chunk_id])
    assert [notice.chunk_id for notice in rig.waiting()] == [claimed.chunk_id]
    rig.store.mark_published([claimed.chunk_id])
    assert rig.waiting() == []


def test_what_a_worker_that_is_gone_holds_is_taken_back_before_its_lease_runs_out(rig: Rig) -> None:
    run = many(rig, 2)
    first, second = rig.waiting()
    lost, kept = rig.claim(first.chunk_id, worker="gone"), rig.claim(second.chunk_id, worker="alive")
    assert list(rig.store.workers()) == ["alive", "gone"]
    assert rig.store.take_back(dead_after=PATIENT, gone=["gone", "never heard of"]) == 1
    assert [notice.chunk_id for notice in rig.waiting()] == [first.chunk_id]
    again = rig.claim(first.chunk_id, worker="another")
    assert not rig.store.commit(judge(lost)).accepted
    assert rig.store.commit(judge(again)).accepted
    assert rig.store.commit(judge(kept)).accepted
    assert rig.store.settle(run.id)[0] is RunState.DONE
    assert list(rig.store.workers()) == []


def test_a_chunk_whose_lease_holds_is_not_announced(rig: Rig) -> None:
    rig.filled("a")
    rig.claim_first()
    assert rig.waiting() == []


def test_a_chunk_that_killed_its_workers_too_often_is_dead(rig: Rig) -> None:
    run = rig.filled("a")
    for _ in range(2):
        notice = due(rig, dead_after=2)[0]
        rig.claim(notice.chunk_id, lease_s=0)
    assert due(rig, dead_after=2) == []
    assert rig.store.settle(run.id)[0] is RunState.FAILED
    assert rig.store.run(run.id).reason


def test_a_chunk_that_killed_its_workers_too_often_is_halved_and_its_halves_are_announced(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=[tier("small", chunk_items=2)]))
    for _ in range(2):
        rig.claim(due(rig, dead_after=2)[0].chunk_id, lease_s=0)
    rig.store.take_back(dead_after=2)
    assert len(rig.waiting()) == 2
    assert rig.finish(run) is RunState.DONE


def test_chunks_of_runs_that_are_not_at_work_are_not_announced(rig: Rig) -> None:
    run = rig.filled("a")
    rig.store.cancel(run.id)
    assert rig.waiting() == []


def test_published_and_never_claimed_is_known_by_pool(rig: Rig) -> None:
    job = make_job(MOOD, {**TOPIC, "ladder": ["large"]})
    rig.filled("a", job)
    small, large = sorted(rig.waiting(), key=lambda notice: notice.tier, reverse=True)
    assert list(rig.store.published_pending(pool=small.pool, older_than_s=0)) == []
    rig.store.mark_published([small.chunk_id, large.chunk_id])
    assert list(rig.store.published_pending(pool=small.pool, older_than_s=0)) == [small]
    assert list(rig.store.published_pending(pool=large.pool, older_than_s=0)) == [large]
    assert list(rig.store.published_pending(pool=small.pool, older_than_s=LONG_S)) == []


def test_a_claimed_or_done_chunk_is_not_published_and_pending(rig: Rig) -> None:
    rig.filled("a")
    notice = rig.waiting()[0]
    rig.store.mark_published([notice.chunk_id])
    claimed = rig.claim(notice.chunk_id)
    assert list(rig.store.published_pending(pool=notice.pool, older_than_s=0)) == []
    rig.store.commit(judge(claimed))
    rig.store.mark_published([notice.chunk_id])
    assert list(rig.store.published_pending(pool=notice.pool, older_than_s=0)) == []


def test_pools_are_those_with_announced_chunks_of_active_runs(rig: Rig) -> None:
    first, second = make_job(name="one"), make_job(name="two", tiers=[tier("other")])
    rig.filled("a", first)
    stopped = rig.filled("a", second)
    assert list(rig.store.pools()) == []
    rig.store.mark_published([notice.chunk_id for notice in rig.waiting()])
    assert set(rig.store.pools()) == {first.tiers[0].pool, second.tiers[0].pool}
    rig.store.cancel(stopped.id)
    assert list(rig.store.pools()) == [first.tiers[0].pool]


def test_marking_nothing_or_an_unknown_chunk_is_no_error(rig: Rig) -> None:
    rig.filled("a")
    rig.store.mark_published([])
    rig.store.mark_published([4711])
    assert len(rig.waiting()) == 1


def test_a_paused_tier_gives_no_chunks_and_forgets_their_announcement(rig: Rig) -> None:
    run = rig.filled("a")
    notice = rig.waiting()[0]
    rig.store.mark_published([notice.chunk_id])
    pause(rig, run.id)
    assert rig.store.claim(notice.chunk_id, worker="w", lease_s=LONG_S) is None
    assert list(rig.store.published_pending(pool=notice.pool, older_than_s=0)) == []
    assert rig.waiting() == []


def test_a_pause_is_twice_as_long_each_time_in_a_row(rig: Rig) -> None:
    run = rig.filled("a")
    lengths = [rig.store.pause_tier(run.id, 0, reason="down", first_s=2, longest_s=10) for _ in range(5)]
    assert lengths == pytest.approx([2, 4, 8, 10, 10])


def test_a_pause_is_never_longer_than_the_longest(rig: Rig) -> None:
    run = rig.filled("a")
    assert rig.store.pause_tier(run.id, 0, reason="down", first_s=60, longest_s=10) == pytest.approx(10)


def test_a_pause_of_one_tier_leaves_the_others_at_work(rig: Rig) -> None:
    run = rig.filled("a")
    pause(rig, run.id, tier_no=1)
    assert rig.judge_next().accepted


def test_a_pause_holds_for_all_runs_that_ask_the_same_endpoint_and_for_no_other(rig: Rig) -> None:
    paused, same = rig.filled("a"), rig.filled("b")
    other = rig.filled("c", make_job(tiers=[tier("another")]))
    known = next(notice for notice in rig.waiting() if notice.run_name == same.name)
    pause(rig, paused.id)
    assert [notice.run_name for notice in rig.waiting()] == [other.name]
    assert rig.store.claim(known.chunk_id, worker="w", lease_s=LONG_S) is None
    shown = {name: rig.store.progress(run.id).state for name, run in (("same", same), ("other", other))}
    assert shown == {"same": RunState.PAUSED, "other": RunState.RUNNING}


def outside(name: str, model: str = "large") -> dict[str, Any]:
    return {"name": name, "engine": "openai", "model": model, "base_url": "https://models.example/v1", "price": "list"}


def test_an_endpoint_that_is_down_is_so_for_tiers_of_any_name_and_up_again_for_all(rig: Rig) -> None:
    found = rig.filled("ab", make_job(tiers=[outside("top")]))
    other = rig.filled("c", make_job(tiers=[outside("large")]))
    elsewhere = rig.filled("d", make_job(tiers=[outside("top", "another")]))
    chunk = rig.claim_first()
    pause(rig, found.id)
    assert [notice.run_name for notice in rig.waiting()] == [elsewhere.name]
    assert rig.store.progress(other.id).state is RunState.PAUSED
    assert rig.store.commit(judge(chunk)).resumed
    assert rig.store.progress(other.id).state is RunState.RUNNING


def test_a_tier_that_waits_for_money_still_does_when_its_endpoint_is_up_again(rig: Rig) -> None:
    poor = rig.filled("a", make_job(tiers=[outside("top")]))
    rig.store.set_budget(poor.id, Budget(usd=Decimal("0.01")))
    broke = rig.claim_first()
    assert len(rig.store.reserve(broke, [Decimal(1)]).asked) == 0
    rig.store.out_of_money(broke)
    rig.filled("b", make_job(tiers=[outside("large")]))
    chunk = rig.claim_first()
    pause(rig, chunk.run_id)
    assert rig.store.commit(judge(chunk)).resumed
    assert rig.waiting() == []


def test_an_endpoint_is_probed_by_one_chunk_of_all_runs(rig: Rig) -> None:
    first, _ = rig.filled("a"), rig.filled("b")
    pause(rig, first.id, for_s=0)
    assert len(rig.store.due(ahead=MANY)) == 1
    assert rig.store.due(ahead=MANY) == []


def test_an_answer_to_one_run_ends_the_pause_for_all(rig: Rig) -> None:
    first, second = rig.filled("a"), rig.filled("b")
    pause(rig, first.id, for_s=0)
    committed = rig.store.commit(judge(rig.claim(rig.store.due(ahead=MANY)[0].chunk_id)))
    assert committed.resumed
    assert rig.store.progress(second.id).state is RunState.RUNNING
    assert len(rig.waiting()) == 1


def test_a_failing_probe_of_another_run_makes_the_pause_longer(rig: Rig) -> None:
    first, second = rig.filled("a"), rig.filled("b")
    lengths = [rig.store.pause_tier(run.id, 0, reason="down", first_s=2, longest_s=10) for run in (first, second)]
    assert lengths == pytest.approx([2, 4])


def test_a_tier_whose_pause_is_over_is_probed_with_one_chunk(rig: Rig) -> None:
    run = rig.filled("abc", make_job(tiers=[tier("small", chunk_items=1)]))
    pause(rig, run.id, for_s=0)
    assert len(rig.waiting()) == 1


def test_an_answered_probe_ends_the_pause(rig: Rig) -> None:
    run = rig.filled("abc", make_job(tiers=[tier("small", chunk_items=1)]))
    pause(rig, run.id, for_s=0)
    rig.judge_next()
    assert len(rig.waiting()) == 2
    assert rig.store.pause_tier(run.id, 0, reason="down", first_s=2, longest_s=10) == pytest.approx(2)


def test_a_probe_that_fails_makes_the_next_pause_longer(rig: Rig) -> None:
    run = rig.filled("abc", make_job(tiers=[tier("small", chunk_items=1)]))
    pause(rig, run.id, for_s=0)
    rig.store.give_back(rig.claim_first())
    assert rig.store.pause_tier(run.id, 0, reason="down", first_s=LONG_S, longest_s=9 * LONG_S) > LONG_S
    assert rig.waiting() == []


def test_a_paused_run_is_shown_so_with_its_reason_and_stays_running(rig: Rig) -> None:
    run = rig.filled("a")
    pause(rig, run.id)
    progress = rig.store.progress(run.id)
    assert progress.state is RunState.PAUSED
    assert "the endpoint does not answer" in (progress.reason or "")
    assert rig.store.run(run.id).state is RunState.RUNNING
    assert [active.id for active in rig.store.active_runs()] == [run.id]


def test_an_outage_turns_nothing_into_unresolved(rig: Rig) -> None:
    run = rig.filled("abc", make_job(tiers=[tier("small", chunk_items=1)]))
    for _ in range(3):
        rig.store.give_back(rig.claim_first())
        pause(rig, run.id, for_s=0)
    assert rig.finish(run, accept) is RunState.DONE
    assert rig.store.progress(run.id).steps["mood"].unresolved == 0
