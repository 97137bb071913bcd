"""Chunks from claim to commit: leases, fences, escalations, and what every crash leaves behind."""

import threading
from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.domain.answers import Defect, Fields
from pipeline.domain.dead import FEW_OPEN
from pipeline.domain.errors import ConservationError
from pipeline.domain.outcomes import LOW_CONFIDENCE, Escalation, Outcome, Unresolved, Verdict
from pipeline.domain.runs import RunState
from pipeline.ports.store import ClaimedChunk, JudgedChunk
from tests.contract.store_cases import (
    DETAILS,
    LONG_S,
    MOOD,
    PATIENT,
    TOPIC,
    Rig,
    accept,
    attempt,
    call,
    escalate,
    items,
    judge,
    make_job,
    malformed,
    tier,
)


def test_a_claim_tells_what_to_ask(rig: Rig) -> None:
    run = rig.filled(["a", "b"], make_job(MOOD, TOPIC))
    claimed = rig.claim_first()
    assert (claimed.run_id, claimed.tier_no, claimed.generation, claimed.claims) == (run.id, 0, 0, 1)
    assert (claimed.item_nos, claimed.step_masks, claimed.texts) == ((0, 1), (0b11, 0b11), ("a", "b"))


def test_a_chunk_that_is_not_there_cannot_be_claimed(rig: Rig) -> None:
    assert rig.store.claim(4711, worker="w", lease_s=LONG_S) is None


def test_a_claimed_chunk_is_not_given_to_another(rig: Rig) -> None:
    rig.filled("a")
    claimed = rig.claim_first()
    assert rig.store.claim(claimed.chunk_id, worker="w2", lease_s=LONG_S) is None


def test_a_done_chunk_is_not_claimed_again(rig: Rig) -> None:
    rig.filled("a")
    claimed = rig.claim_first()
    rig.store.commit(judge(claimed))
    assert rig.store.claim(claimed.chunk_id, worker="w2", lease_s=LONG_S) is None


def test_a_chunk_whose_lease_ran_out_is_claimed_with_a_higher_fence(rig: Rig) -> None:
    rig.filled("a")
    first = rig.claim_first(lease_s=0)
    second = rig.claim(first.chunk_id, worker="w2")
    assert second.fence > first.fence
    assert second.claims == 2
    assert second.texts == first.texts


def test_of_two_that_claim_at_once_one_wins(rig: Rig) -> None:
    rig.filled("a")
    chunk_id = rig.waiting()[0].chunk_id
    start = threading.Barrier(4)
    got: list[ClaimedChunk | None] = []

    def claim(worker: str) -> None:
        start.wait()
        got.append(rig.store.claim(chunk_id, worker=worker, lease_s=LONG_S))

    threads = [threading.Thread(target=claim, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(claimed is not None for claimed in got) == 1


def test_a_renewed_lease_keeps_others_off(rig: Rig) -> None:
    rig.filled("a")
    claimed = rig.claim_first(lease_s=0)
    assert rig.store.renew(claimed, lease_s=LONG_S)
    assert rig.store.claim(claimed.chunk_id, worker="w2", lease_s=LONG_S) is None


def test_a_lease_that_another_has_now_is_not_renewed(rig: Rig) -> None:
    rig.filled("a")
    first = rig.claim_first(lease_s=0)
    rig.claim(first.chunk_id, worker="w2")
    assert not rig.store.renew(first, lease_s=LONG_S)


def test_a_lease_on_a_done_chunk_is_not_renewed(rig: Rig) -> None:
    rig.filled("a")
    claimed = rig.claim_first()
    rig.store.commit(judge(claimed))
    assert not rig.store.renew(claimed, lease_s=LONG_S)


def test_a_commit_within_the_fence_is_accepted_though_the_lease_ran_out(rig: Rig) -> None:
    run = rig.filled("a")
    assert rig.store.commit(judge(rig.claim_first(lease_s=0))).accepted
    assert rig.store.progress(run.id).answered == 1


def test_a_commit_with_an_old_fence_writes_only_its_ledger(rig: Rig) -> None:
    run = rig.filled("a")
    old = rig.claim_first(lease_s=0)
    new = rig.claim(old.chunk_id, worker="w2")
    late = rig.store.commit(judge(old, escalate, entry=call(cost_usd="0.5")))
    assert late.accepted is False
    assert late.notices == ()
    progress = rig.store.progress(run.id)
    assert (progress.answered, progress.calls, progress.known_usd) == (0, 1, Decimal("0.5"))
    assert rig.store.flush(run.id, older_than_s=0) == ()
    assert rig.store.commit(judge(new)).accepted


def test_a_late_commit_after_the_winner_changes_no_answer(rig: Rig) -> None:
    run = rig.filled("a")
    old = rig.claim_first(lease_s=0)
    rig.store.commit(judge(rig.claim(old.chunk_id, worker="w2")))
    assert not rig.store.commit(judge(old, escalate)).accepted
    assert rig.store.settle(run.id)[0] is RunState.DONE
    progress = rig.store.progress(run.id)
    assert progress.steps["mood"].verdicts["small"] == 1
    assert progress.calls == 2


def test_a_commit_that_is_sent_twice_counts_once(rig: Rig) -> None:
    run = rig.filled("a")
    judged = judge(rig.claim_first())
    assert rig.store.commit(judged).accepted
    assert not rig.store.commit(judged).accepted
    progress = rig.store.progress(run.id)
    assert (progress.answered, progress.calls, progress.known_usd) == (1, 1, Decimal("0.001"))


def test_an_answer_that_is_there_already_is_refused_and_nothing_is_written(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=[tier("small")]))
    claimed = rig.claim_first()
    judged = judge(claimed)
    half = replace(judged, attempts=judged.attempts[:1], remaining=((0, 1), (1, 1)))
    assert rig.store.commit(half).accepted
    again = rig.claim_first()
    with pytest.raises(ConservationError):
        rig.store.commit(judge(again))
    progress = rig.store.progress(run.id)
    assert (progress.answered, progress.calls) == (1, 1)


def test_a_chunk_given_back_waits_as_long_as_it_is_told(rig: Rig) -> None:
    rig.filled("a")
    rig.store.give_back(rig.claim_first(), dead_after=PATIENT, failure="out of memory", wait_s=30)
    assert rig.waiting() == []


def test_a_chunk_given_back_is_pending_and_unpublished(rig: Rig) -> None:
    rig.filled("a")
    claimed = rig.claim_first()
    rig.store.mark_published([claimed.chunk_id])
    assert not rig.store.give_back(claimed)
    assert [notice.chunk_id for notice in rig.waiting()] == [claimed.chunk_id]
    assert rig.claim_first().fence > claimed.fence


def test_a_chunk_given_back_for_an_outage_is_not_counted_against_it(rig: Rig) -> None:
    rig.filled("a")
    for _ in range(3):
        assert not rig.store.give_back(rig.claim_first())
    assert rig.claim_first().claims == 1


def test_a_chunk_given_back_too_often_is_dead(rig: Rig) -> None:
    rig.filled("a")
    assert not rig.store.give_back(rig.claim_first(), dead_after=2)
    last = rig.claim_first()
    assert rig.store.give_back(last, dead_after=2)
    assert rig.waiting() == []
    assert rig.store.claim(last.chunk_id, worker="w", lease_s=LONG_S) is None


def test_a_chunk_given_back_too_often_is_halved_and_who_held_it_whole_is_refused(rig: Rig) -> None:
    run = rig.filled("abc", make_job(tiers=[tier("small", chunk_items=3)]))
    whole = rig.claim_first()
    assert not rig.store.give_back(whole, dead_after=1, failure="KeyError")
    assert not rig.store.commit(judge(whole)).accepted
    halves = [rig.claim(notice.chunk_id) for notice in rig.waiting()]
    assert [(half.item_nos, half.texts) for half in halves] == [((0,), ("a",)), ((1, 2), ("b", "c"))]
    assert rig.store.commit(judge(halves[1])).accepted
    assert rig.store.give_back(halves[0], dead_after=1)
    assert rig.store.settle(run.id)[0] is RunState.FAILED
    (dead,) = rig.store.dead(run.id)
    assert (dead.key, dead.steps, dead.tier, dead.with_others, dead.reason, dead.text) == (
        "k0", ("mood",), "small", 0, "KeyError", "a",
    )  # fmt: skip
    assert "dead list" in (rig.store.run(run.id).reason or "")


def test_each_half_is_tried_twice(rig: Rig) -> None:
    rig.filled("ab", make_job(tiers=[tier("small", chunk_items=2)]))
    for _ in range(5):
        assert not rig.store.give_back(rig.claim_first(), dead_after=5)
    assert len(rig.waiting()) == 2
    assert not rig.store.give_back(rig.claim_first(), dead_after=5)
    last = rig.claim_first()
    assert last.item_nos == (0,)
    assert rig.store.give_back(last, dead_after=5)


def test_where_nothing_is_ever_done_chunks_are_not_halved(rig: Rig) -> None:
    texts = [f"text {number}" for number in range(2 * FEW_OPEN + 4)]
    run = rig.filled(texts, make_job(tiers=[tier("small", chunk_items=2)]))
    assert rig.store.give_back(rig.claim_first(), dead_after=1)
    assert [one.with_others for one in rig.store.dead(run.id)] == [1, 1]
    rig.store.commit(judge(rig.claim_first()))
    assert not rig.store.give_back(rig.claim_first(), dead_after=1)


def test_a_chunk_that_was_lost_cannot_be_given_back(rig: Rig) -> None:
    rig.filled("a")
    old = rig.claim_first(lease_s=0)
    new = rig.claim(old.chunk_id, worker="w2")
    assert not rig.store.give_back(old, dead_after=1)
    assert rig.store.renew(new, lease_s=LONG_S)


def test_a_run_with_a_dead_chunk_does_the_rest_and_fails_with_a_reason(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=[tier("small", chunk_items=1)]))
    rig.store.give_back(rig.claim_first(), dead_after=1)
    assert rig.store.run(run.id).state is RunState.RUNNING
    assert rig.finish(run) is RunState.FAILED
    assert rig.store.run(run.id).reason
    assert rig.store.progress(run.id).answered == 1


def test_escalations_of_a_step_go_to_the_next_tier_and_no_other_step_does(rig: Rig) -> None:
    run = rig.filled("a", make_job(MOOD, TOPIC, DETAILS, tiers=[tier("small"), tier("large", chunk_items=1)]))

    def unsure_of_mood_and_details(item_no: int, step_no: int, tier_no: int) -> Outcome:
        return accept(item_no, step_no, tier_no) if step_no == 1 else escalate(item_no, step_no, tier_no)

    notices = rig.judge_next(unsure_of_mood_and_details).notices
    claimed = rig.claim(notices[0].chunk_id)
    assert (claimed.tier_no, claimed.item_nos, claimed.step_masks) == (1, (0,), (0b101,))
    assert claimed.texts == ("a",)
    assert rig.store.progress(run.id).answered == 1


def test_a_full_chunk_of_escalations_is_made_at_once(rig: Rig) -> None:
    job = make_job(tiers=[tier("small", chunk_items=2), tier("large", chunk_items=3)])
    rig.filled("abcdef", job)
    assert rig.judge_next(escalate).notices == ()
    second = rig.judge_next(escalate).notices
    assert [(notice.tier, notice.pool, notice.items) for notice in second] == [("large", job.tiers[1].pool, 3)]
    third = rig.judge_next(escalate).notices
    assert [notice.items for notice in third] == [3]


def test_a_chunk_larger_than_the_next_tiers_is_split_into_full_ones(rig: Rig) -> None:
    run = rig.filled("abcdefg", make_job(tiers=[tier("small", chunk_items=7), tier("large", chunk_items=3)]))
    assert [notice.items for notice in rig.judge_next(escalate).notices] == [3, 3]
    assert [notice.items for notice in rig.store.settle(run.id)[1]] == [1]


def test_two_steps_of_an_item_fill_one_place_in_a_chunk(rig: Rig) -> None:
    rig.filled("abc", make_job(MOOD, TOPIC, tiers=[tier("small"), tier("large", chunk_items=3)]))
    notices = rig.judge_next(escalate).notices
    assert [notice.items for notice in notices] == [3]
    assert rig.claim(notices[0].chunk_id).step_masks == (0b11, 0b11, 0b11)


def test_escalations_of_concurrent_commits_are_neither_lost_nor_doubled(rig: Rig) -> None:
    job = make_job(tiers=[tier("small", chunk_items=2), tier("large", chunk_items=3)])
    run = rig.filled([f"text {number}" for number in range(16)], job)
    claims = [rig.claim(notice.chunk_id) for notice in rig.waiting()]
    start = threading.Barrier(len(claims))

    def commit(claimed: ClaimedChunk) -> None:
        start.wait()
        rig.store.commit(judge(claimed, escalate))

    threads = [threading.Thread(target=commit, args=(claimed,)) for claimed in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rig.store.settle(run.id)
    asked = [item_no for notice in rig.waiting() for item_no in rig.claim(notice.chunk_id).item_nos]
    assert sorted(asked) == list(range(16))


def test_chunks_made_by_a_commit_stand_unpublished_until_they_are_announced(rig: Rig) -> None:
    rig.filled("abcd", make_job(tiers=[tier("small"), tier("large", chunk_items=2)]))
    made = rig.judge_next(escalate).notices
    assert [notice.chunk_id for notice in rig.waiting()] == [notice.chunk_id for notice in made]
    rig.store.mark_published([notice.chunk_id for notice in made])
    assert rig.waiting() == []


def test_a_step_whose_ladder_leaves_tiers_out_goes_straight_up(rig: Rig) -> None:
    job = make_job({**MOOD, "ladder": ["small", "huge"]}, tiers=[tier("small"), tier("large"), tier("huge")])
    run = rig.filled("a", job)

    def unsure_below_the_top(item_no: int, step_no: int, tier_no: int) -> Outcome:  # noqa: ARG001 — a Decide
        return Verdict() if tier_no == 2 else Escalation(2, LOW_CONFIDENCE)

    assert rig.finish(run, unsure_below_the_top) is RunState.DONE
    assert rig.store.progress(run.id).steps["mood"].verdicts["huge"] == 1


def test_what_an_outage_left_unanswered_goes_back_to_pending(rig: Rig) -> None:
    run = rig.filled("abc", make_job(MOOD, TOPIC))
    claimed = rig.claim_first()
    judged = judge(claimed)
    answered = tuple(one for one in judged.attempts if (one.item_no, one.step_no) in {(0, 0), (0, 1), (1, 0)})
    rig.store.mark_published([claimed.chunk_id])
    committed = rig.store.commit(replace(judged, attempts=answered, remaining=((1, 0b10), (2, 0b11))))
    assert committed.accepted
    assert [notice.chunk_id for notice in rig.waiting()] == [claimed.chunk_id]
    again = rig.claim_first()
    assert (again.item_nos, again.step_masks, again.texts) == ((1, 2), (0b10, 0b11), ("b", "c"))
    rig.store.commit(judge(again))
    assert rig.store.settle(run.id)[0] is RunState.DONE


def test_a_worker_killed_before_its_commit_leaves_the_chunk_to_another(rig: Rig) -> None:
    run = rig.filled("ab")
    rig.claim_first(lease_s=0)
    assert rig.finish(run) is RunState.DONE
    assert rig.store.progress(run.id).answered == 2


def test_a_refused_commit_sends_nothing_up(rig: Rig) -> None:
    run = rig.filled("abcd", make_job(tiers=[tier("small"), tier("large", chunk_items=2)]))
    old = rig.claim_first(lease_s=0)
    rig.claim(old.chunk_id, worker="w2")
    rig.store.commit(judge(old, escalate))
    assert rig.waiting() == []
    assert rig.store.settle(run.id) == (RunState.RUNNING, ())


def test_awkward_answers_come_back_unchanged(rig: Rig) -> None:
    values = ("\\N", "tab\there", "line\nbreak\r", "quote \" ' and \\", "emoji 🧵", "\u2028", "{}", "", " ", "\x01")
    run = rig.filled(values, make_job(DETAILS, tiers=[tier("small", chunk_items=100)]))
    entry = call()
    judged = JudgedChunk(
        claimed=rig.claim_first(),
        policy_version=1,
        attempts=tuple(
            attempt((item_no, 0), Verdict(), entry, answer=Fields({"order": value}), fields={"order": 0.5})
            for item_no, value in enumerate(values)
        ),
        ledger=(entry,),
    )
    rig.store.commit(judged)
    assert [line.answers["details"].value for line in rig.store.results(run.id)] == [{"order": one} for one in values]


def test_an_answer_with_a_nul_does_not_poison_its_chunk(rig: Rig) -> None:
    run = rig.filled("a", make_job(DETAILS, tiers=[tier("small")]))
    entry = call()
    given = attempt((0, 0), Verdict(), entry, answer=Fields({"order": "x\x00y"}))
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=(given,), ledger=(entry,)))
    assert rig.store.settle(run.id)[0] is RunState.DONE
    assert next(iter(rig.store.results(run.id))).answers["details"].value == {"order": "x\x00y"}


def test_a_lost_answer_fails_the_run_and_is_never_hidden(rig: Rig) -> None:
    run = rig.filled("ab")
    judged = judge(rig.claim_first())
    rig.store.commit(replace(judged, attempts=judged.attempts[:1]))
    with pytest.raises(ConservationError):
        rig.store.settle(run.id)
    failed = rig.store.run(run.id)
    assert failed.state is RunState.FAILED
    assert failed.reason


def test_a_run_is_done_when_every_item_has_an_outcome_of_every_step(rig: Rig) -> None:
    run = rig.filled(["a", "b", "a"], make_job(MOOD, TOPIC))

    def mixed(item_no: int, step_no: int, tier_no: int) -> Outcome:
        if tier_no and step_no:
            return Unresolved(Defect.MALFORMED)
        return escalate(item_no, step_no, tier_no)

    assert rig.finish(run, mixed) is RunState.DONE
    progress = rig.store.progress(run.id)
    assert progress.answered == progress.asked == 6


def test_an_unusable_answer_is_kept_without_a_value(rig: Rig) -> None:
    run = rig.filled("a", make_job(tiers=[tier("small")]))
    entry = call()
    given = attempt((0, 0), Unresolved(Defect.MALFORMED), entry, answer=malformed(), confidence=None)
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=(given,), ledger=(entry,)))
    result = next(iter(rig.store.results(run.id))).answers["mood"]
    assert (result.state, result.value, result.confidence, result.reason) == ("unresolved", None, None, "malformed")


def test_items_added_while_others_are_answered_are_asked_too(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, items("ab"), at=0, keyed=False)
    rig.judge_next(escalate)
    rig.store.add_rows(run.id, items("cd", first=2), at=2, keyed=False)
    rig.store.finish_ingest(run.id)
    assert rig.finish(run, escalate) is RunState.DONE
    assert rig.store.progress(run.id).steps["mood"].verdicts["large"] == 4
