"""Budgets: reserved before a call, settled after it, exact however many workers there are."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.domain.answers import Fields, Label, Malformed
from pipeline.domain.budget import Budget, OnExhausted, Spending, Unsettled
from pipeline.domain.job import Job
from pipeline.domain.outcomes import LOW_CONFIDENCE, Escalation
from pipeline.domain.runs import RunState
from pipeline.ports.store import ClaimedChunk, RunRecord
from tests.contract.store_cases import (
    LONG_S,
    MOOD,
    TOPIC,
    Rig,
    attempt,
    call,
    escalate,
    judge,
    make_job,
    malformed,
    places_of,
    tier,
)

ONE = Decimal(1)


def one_by_one(*, tiers: int = 1) -> Job:
    names = ("small", "large")[:tiers]
    return make_job(tiers=[tier(name, chunk_items=1) for name in names])


def given(rig: Rig, texts: str, usd: int, on_exhausted: OnExhausted = "hold", job: Job | None = None) -> RunRecord:
    run = rig.filled(texts, job or one_by_one())
    rig.store.set_budget(run.id, Budget(usd=Decimal(usd), on_exhausted=on_exhausted))
    return run


def standing(rig: Rig, run: RunRecord) -> Spending:
    now = rig.store.spending(run.id)
    assert now is not None
    return now


def sums(rig: Rig, run: RunRecord) -> tuple[float, float, int]:
    """Return what is settled, what is reserved, and how many calls are lost."""
    now = standing(rig, run)
    return float(now.settled_usd), float(now.reserved_usd), now.lost.calls


def test_a_run_without_a_budget_reserves_all_and_has_no_standing(rig: Rig) -> None:
    run = rig.filled("abc", make_job(tiers=[tier("small", chunk_items=3)]))
    assert len(rig.store.reserve(rig.claim_first(), [ONE * 1000] * 3).asked) == 3
    assert rig.store.spending(run.id) is None
    assert rig.store.progress(run.id).spending is None


def test_as_many_items_are_reserved_as_there_is_money_for(rig: Rig) -> None:
    run = given(rig, "abc", 5, job=make_job(tiers=[tier("small", chunk_items=3)]))
    assert len(rig.store.reserve(rig.claim_first(), [ONE * 2] * 3).asked) == 2
    assert sums(rig, run) == (0, 4, 0)
    assert standing(rig, run).free_usd == 1


def test_what_was_reserved_is_settled_at_what_the_call_cost(rig: Rig) -> None:
    run = given(rig, "a", 5)
    claimed = rig.claim_first()
    assert len(rig.store.reserve(claimed, [ONE * 2]).asked) == 1
    rig.store.commit(judge(claimed, entry=call(cost_usd="0.75")))
    assert sums(rig, run) == (0.75, 0, 0)
    assert rig.store.progress(run.id).spending == standing(rig, run)


def test_a_commit_that_is_sent_again_is_settled_once(rig: Rig) -> None:
    """Its answer may be lost on the way: then whoever sent it does not know that it was done."""
    run = given(rig, "a", 5)
    claimed = rig.claim_first()
    rig.store.reserve(claimed, [ONE * 2])
    judged = judge(claimed, entry=call(cost_usd="0.75"))
    assert rig.store.commit(judged).accepted
    assert not rig.store.commit(judged).accepted
    assert sums(rig, run) == (0.75, 0, 0)
    assert rig.store.progress(run.id).calls == 1


def test_answers_that_came_too_late_are_settled_at_what_they_cost(rig: Rig) -> None:
    run = given(rig, "a", 5)
    late = rig.claim_first(lease_s=0)
    rig.store.reserve(late, [ONE * 2])
    in_time = rig.claim_first()
    rig.store.commit(judge(in_time, entry=call(cost_usd="0.5")))
    assert not rig.store.commit(judge(late, entry=call(cost_usd="0.75"))).accepted
    assert sums(rig, run) == (1.25, 0, 0)


def test_a_call_of_unknown_cost_is_settled_at_the_most_that_it_may_be(rig: Rig) -> None:
    run = given(rig, "a", 5)
    claimed = rig.claim_first()
    rig.store.reserve(claimed, [ONE * 2])
    rig.store.commit(judge(claimed, entry=call(cost_usd=None)))
    assert sums(rig, run) == (2, 0, 0)


def test_what_a_lost_worker_had_reserved_stays_reserved_until_it_comes_back(rig: Rig) -> None:
    run = given(rig, "a", 5)
    late = rig.claim_first(lease_s=0)
    rig.store.reserve(late, [ONE * 2])
    rig.waiting()
    assert sums(rig, run) == (0, 2, 1)
    assert standing(rig, run).lost.usd == 2
    again = rig.claim(late.chunk_id)
    assert len(rig.store.reserve(again, [ONE * 2]).asked) == 1
    assert not rig.store.commit(judge(late, entry=call(cost_usd="1.5"))).accepted
    assert sums(rig, run) == (1.5, 2, 0)


def test_an_outage_releases_what_was_reserved(rig: Rig) -> None:
    run = given(rig, "a", 5)
    claimed = rig.claim_first()
    rig.store.reserve(claimed, [ONE * 2])
    rig.store.give_back(claimed)
    assert sums(rig, run) == (0, 0, 0)


def test_many_workers_at_once_never_reserve_more_than_there_is(rig: Rig) -> None:
    run = given(rig, "abcdefghijklmnop", 7)
    claims = [rig.claim(notice.chunk_id) for notice in rig.waiting()]
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda claimed: rig.store.reserve(claimed, [ONE]), claims))
    assert sum(len(one.asked) for one in counts) == 7
    assert standing(rig, run).free_usd == 0


@pytest.mark.parametrize("at", range(4))
def test_a_first_budget_given_while_calls_are_settled_counts_each_of_them_once(rig: Rig, at: int) -> None:
    run = rig.filled("abcdefghijklmnopqrstuvwx", one_by_one())
    claims = [rig.claim(notice.chunk_id) for notice in rig.waiting()]

    def called(claimed: ClaimedChunk) -> None:
        rig.store.reserve(claimed, [ONE])
        rig.store.commit(judge(claimed, entry=call(cost_usd="0.5")))

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(called, claimed) for claimed in claims]
        done[3 + 5 * at].result()
        rig.store.set_budget(run.id, Budget(usd=ONE * 1000))
        for one in done:
            one.result()
    assert sums(rig, run) == (0.5 * len(claims), 0, 0)


def test_a_run_out_of_money_is_held_when_all_else_is_done_and_goes_on_with_more(rig: Rig) -> None:
    run = given(rig, "ab", 1, job=one_by_one(tiers=2))
    rig.judge_next(escalate, entry=call(cost_usd="0.9"))
    large = next(notice for notice in rig.waiting() if notice.tier == "large")
    claimed = rig.claim(large.chunk_id)
    assert len(rig.store.reserve(claimed, [ONE]).asked) == 0
    assert rig.store.out_of_money(claimed) is RunState.RUNNING
    assert rig.store.settle(run.id)[0] is RunState.RUNNING
    assert [notice.tier for notice in rig.waiting()] == ["small"]
    rig.judge_next(entry=call(cost_usd="0.05"))
    assert rig.store.settle(run.id)[0] is RunState.HELD
    assert "headrace budget" in (rig.store.run(run.id).reason or "")
    rig.store.set_budget(run.id, Budget(usd=Decimal(9)))
    assert rig.store.run(run.id).state is RunState.RUNNING
    assert standing(rig, run).settled_usd == Decimal("0.95")
    assert rig.finish(run) is RunState.DONE


def test_a_run_may_stop_when_its_money_is_spent(rig: Rig) -> None:
    run = given(rig, "ab", 1, "stop")
    claimed = rig.claim_first()
    assert len(rig.store.reserve(claimed, [ONE * 2]).asked) == 0
    assert rig.store.out_of_money(claimed) is RunState.CANCELLED
    record = rig.store.run(run.id)
    assert record.state is RunState.CANCELLED
    assert "budget is spent" in (record.reason or "")
    assert rig.waiting() == []


def test_the_best_answer_so_far_may_stand_uncertified_and_retry_asks_it_again(rig: Rig) -> None:
    job = make_job(MOOD, TOPIC, tiers=[tier("small", chunk_items=1), tier("large", chunk_items=1)])
    run = given(rig, "a", 1, "accept", job=job)
    rig.judge_next(escalate, entry=call(cost_usd="0.9"))
    rig.store.settle(run.id)
    claimed = rig.claim_first()
    assert len(rig.store.reserve(claimed, [ONE]).asked) == 0
    assert rig.store.out_of_money(claimed) is RunState.RUNNING
    assert rig.store.settle(run.id)[0] is RunState.DONE
    (line,) = rig.store.results(run.id)
    mood = line.answers["mood"]
    assert (mood.state, mood.value, mood.tier, mood.escalated_from) == (
        "uncertified", "neutral", "small", (("small", LOW_CONFIDENCE),),
    )  # fmt: skip
    assert rig.store.progress(run.id).steps["topic"].verdicts == {"small": 1, "large": 0}
    rig.store.set_budget(run.id, Budget(usd=Decimal(9)))
    assert rig.store.retry(run.id, unresolved=True) == 2
    assert rig.finish(run) is RunState.DONE
    (line,) = rig.store.results(run.id)
    assert (line.answers["mood"].state, line.answers["mood"].tier) == ("verdict", "large")


def test_what_has_no_answer_yet_waits_where_others_stand_uncertified(rig: Rig) -> None:
    job = make_job(tiers=[tier("small", chunk_items=2), tier("large", chunk_items=2)])
    run = given(rig, "ab", 1, "accept", job=job)
    claimed = rig.claim_first()
    paid = call(cost_usd="0.9")
    answers: list[Label | Malformed] = [Label("neutral"), malformed()]
    attempts = [
        attempt(place, Escalation(1, LOW_CONFIDENCE), paid, answer=answer)
        for place, answer in zip(places_of(claimed), answers, strict=True)
    ]
    rig.store.commit(replace(judge(claimed, escalate), attempts=tuple(attempts), ledger=(paid,)))
    large = rig.claim_first()
    assert rig.store.out_of_money(large) is RunState.RUNNING
    assert [line.answers["mood"].state for line in rig.store.results(run.id)] == ["uncertified", "pending"]
    assert rig.store.settle(run.id)[0] is RunState.HELD


def test_a_claim_that_was_lost_changes_nothing_when_it_finds_no_money(rig: Rig) -> None:
    run = given(rig, "a", 1, "stop")
    late = rig.claim_first(lease_s=0)
    again: ClaimedChunk = rig.claim(late.chunk_id)
    assert rig.store.out_of_money(late) is RunState.RUNNING
    assert rig.store.renew(again, lease_s=LONG_S)
    assert rig.store.run(run.id).state is RunState.RUNNING


def test_a_budget_given_later_counts_what_was_spent_and_reserved_before(rig: Rig) -> None:
    run = rig.filled("ab", one_by_one())
    rig.judge_next(entry=call(cost_usd="0.5"))
    claimed = rig.claim_first()
    rig.store.reserve(claimed, [ONE * 2])
    rig.store.set_budget(run.id, Budget(usd=Decimal(5)))
    assert sums(rig, run) == (0.5, 2, 0)


@pytest.mark.parametrize("answer", [Fields({"order": "7"}), Label("neutral")], ids=["record", "label"])
def test_the_surest_of_several_answers_stands(rig: Rig, answer: Fields | Label) -> None:
    tiers = [tier(name, chunk_items=1) for name in ("small", "middle", "large")]
    run = given(rig, "a", 2, "accept", job=make_job(tiers=tiers))
    for tier_no, confidence in ((0, 0.6), (1, 0.4)):
        claimed = rig.claim_first()
        paid = call(cost_usd="0.9")
        one = attempt(
            (0, 0), Escalation(tier_no + 1, LOW_CONFIDENCE), paid, answer=answer, confidence=confidence
        )  # fmt: skip
        rig.store.commit(replace(judge(claimed, escalate), attempts=(one,), ledger=(paid,)))
    rig.store.out_of_money(rig.claim_first())
    (line,) = rig.store.results(run.id)
    assert (line.answers["mood"].state, line.answers["mood"].tier) == ("uncertified", "small")


def capped(rig: Rig, texts: str, per_item_usd: str, on_exhausted: OnExhausted = "hold", *, chunk: int = 3) -> RunRecord:
    """Open a run of two tiers whose items have a cap, and the run none."""
    job = make_job(tiers=[tier("small", chunk_items=chunk), tier("large", chunk_items=chunk)])
    run = rig.filled(texts, job)
    rig.store.set_budget(run.id, Budget(per_item_usd=Decimal(per_item_usd), on_exhausted=on_exhausted))
    return run


def ask_small(rig: Rig, costs: list[int]) -> ClaimedChunk:
    """Answer the first chunk at the small tier for these costs, all unsure; returns the large tier's claim."""
    claimed = rig.claim_first()
    assert len(rig.store.reserve(claimed, [ONE * cost for cost in costs]).asked) == len(costs)
    entries = [call(cost_usd=str(cost)) for cost in costs]
    attempts = [
        attempt(place, Escalation(1, LOW_CONFIDENCE), entry)
        for place, entry in zip(places_of(claimed), entries, strict=True)
    ]
    rig.store.commit(replace(judge(claimed, escalate), attempts=tuple(attempts), ledger=tuple(entries)))
    rig.store.settle(claimed.run_id)
    return rig.claim_first()


def test_items_over_their_cap_leave_the_chunk_and_the_others_are_asked(rig: Rig) -> None:
    run = capped(rig, "abc", "5")
    large = ask_small(rig, [1, 3, 2])
    found = rig.store.reserve(large, [ONE * 3] * 3)
    assert (found.asked, found.over_cap) == ((0, 2), (1,))
    assert sums(rig, run) == (6, 6, 0)
    (letter,) = rig.store.dead(run.id)
    assert (letter.key, letter.tier, letter.with_others) == ("k1", "large", 0)
    assert letter.reason == "over its own cap: per_item_usd is $5.00, its next call may bring it to $6.00"
    assert rig.store.commit(judge(large.only(found.asked), entry=call(cost_usd="4"))).accepted
    assert rig.store.settle(run.id)[0] is RunState.FAILED
    assert "1 item is over per_item_usd" in (rig.store.run(run.id).reason or "")
    assert "--per-item-usd MORE" in (rig.store.run(run.id).reason or "")


def test_with_more_money_an_item_that_was_over_its_cap_is_asked_again(rig: Rig) -> None:
    run = capped(rig, "a", "1")
    assert rig.store.reserve(ask_small(rig, [1]), [ONE]).over_cap == (0,)
    assert rig.store.settle(run.id)[0] is RunState.FAILED
    rig.store.set_budget(run.id, Budget(per_item_usd=Decimal(2)))
    assert rig.store.requeue(run.id) == 1
    again = rig.claim_first()
    assert rig.store.reserve(again, [ONE]).asked == (0,)
    rig.store.commit(judge(again))
    assert rig.store.settle(run.id)[0] is RunState.DONE


@pytest.mark.parametrize("beside", ["", "b"], ids=["alone", "with others"])
def test_the_best_answer_so_far_of_an_item_over_its_cap_may_stand(rig: Rig, beside: str) -> None:
    run = capped(rig, f"a{beside}", "2", "accept")
    large = ask_small(rig, [2, 1][: 1 + len(beside)])
    found = rig.store.reserve(large, [ONE] * len(large.item_nos))
    assert found.over_cap == (0,)
    if beside:
        rig.store.commit(judge(large.only(found.asked)))
    assert rig.store.settle(run.id)[0] is RunState.DONE
    states = [(line.answers["mood"].state, line.answers["mood"].tier) for line in rig.store.results(run.id)]
    assert states == [("uncertified", "small"), ("verdict", "large")][: 1 + len(beside)]


def test_an_item_over_its_cap_that_has_no_answer_is_a_dead_letter_also_where_answers_may_stand(rig: Rig) -> None:
    run = capped(rig, "ab", "1", "accept", chunk=2)
    assert rig.store.reserve(rig.claim_first(), [ONE * 2, ONE]).over_cap == (0,)
    assert [letter.key for letter in rig.store.dead(run.id)] == ["k0"]


def test_a_call_that_did_not_say_what_it_cost_is_more_than_any_cap(rig: Rig) -> None:
    run = capped(rig, "a", "100")
    rig.judge_next(escalate, entry=call(cost_usd=None))
    rig.store.settle(run.id)
    assert rig.store.reserve(rig.claim_first(), [ONE]).over_cap == (0,)
    assert "did not say" in rig.store.dead(run.id)[0].reason


def test_two_claims_on_an_item_never_reserve_more_than_its_cap_together(rig: Rig) -> None:
    steps = [{**MOOD, "ladder": ["small"]}, {**TOPIC, "ladder": ["large"]}]
    run = rig.filled("abcdefgh", make_job(*steps, tiers=[tier("small", chunk_items=1), tier("large", chunk_items=1)]))
    rig.store.set_budget(run.id, Budget(per_item_usd=Decimal(3)))
    claims = [rig.claim(notice.chunk_id) for notice in rig.waiting()]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda claimed: (claimed, rig.store.reserve(claimed, [ONE * 2])), claims))
    assert len(found) == 16
    assert sorted(claimed.item_nos[0] for claimed, one in found if one.asked) == list(range(8))
    assert sorted(letter.item_no for letter in rig.store.dead(run.id)) == list(range(8))
    assert standing(rig, run).reserved_usd == 16


def test_what_a_lost_claim_had_reserved_does_not_count_towards_an_items_cap(rig: Rig) -> None:
    run = capped(rig, "a", "3")
    late = rig.claim_first(lease_s=0)
    rig.store.reserve(late, [ONE * 2])
    again = rig.claim(late.chunk_id)
    assert rig.store.reserve(again, [ONE * 2]).asked == (0,)
    assert sums(rig, run) == (0, 4, 1)


def test_a_claim_that_was_lost_sets_nothing_aside(rig: Rig) -> None:
    run = capped(rig, "ab", "1", chunk=2)
    late = rig.claim_first(lease_s=0)
    again = rig.claim(late.chunk_id)
    assert rig.store.reserve(late, [ONE * 2, ONE]).over_cap == (0,)
    assert rig.store.dead(run.id) == []
    assert rig.store.commit(judge(again)).accepted


def test_a_run_may_have_both_caps_and_each_holds(rig: Rig) -> None:
    run = capped(rig, "abcd", "5", chunk=4)
    rig.store.set_budget(run.id, Budget(usd=Decimal(5), per_item_usd=Decimal(2)))
    found = rig.store.reserve(rig.claim_first(), [ONE * 2, ONE * 3, ONE * 2, ONE * 2])
    assert (found.asked, found.over_cap) == ((0, 2), (1,))
    assert standing(rig, run).free_usd == 1


def test_calls_of_lost_workers_are_seen_without_a_budget_too(rig: Rig) -> None:
    run = rig.filled("ab", one_by_one())
    late = rig.claim_first(lease_s=0)
    rig.store.reserve(late, [ONE * 2])
    rig.waiting()
    now = rig.store.progress(run.id)
    assert (now.spending, now.unsettled) == (None, Unsettled(calls=1, usd=ONE * 2))
    assert now.as_json()["unsettled"] == {"calls": 1, "usd": 2.0}
    assert rig.store.costs(run.id, by=["tier"]).unsettled == rig.store.costs(None, by=["tier"]).unsettled
    assert not rig.store.commit(judge(late)).accepted
    assert rig.store.progress(run.id).unsettled == Unsettled()


def test_a_commit_settles_what_a_run_without_a_budget_had_reserved(rig: Rig) -> None:
    run = rig.filled("a", one_by_one())
    claimed = rig.claim_first()
    rig.store.reserve(claimed, [ONE * 2])
    assert rig.store.progress(run.id).unsettled == Unsettled()
    rig.store.commit(judge(claimed))
    rig.store.set_budget(run.id, Budget(usd=Decimal(5)))
    assert standing(rig, run).reserved_usd == 0
