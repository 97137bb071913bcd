"""The ledger, what it sums to by every grouping, and the baseline: exact to the last unit."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.domain.answers import Usage
from pipeline.domain.errors import ConfigError
from pipeline.domain.ledger import LedgerEntry
from pipeline.domain.outcomes import Escalation, Unresolved, Verdict
from pipeline.domain.runs import Costs, RunState
from pipeline.ports.store import JudgedChunk, RunRecord
from tests.contract.store_cases import (
    DETAILS,
    LONG_S,
    MOOD,
    TOPIC,
    Rig,
    attempt,
    call,
    escalate,
    judge,
    make_job,
    places_of,
    price_book,
    tier,
)

UNIT = Decimal("1e-12")
GROUPINGS = (("step",), ("tier",), ("model",), ("day",), ("step", "tier"), ("day", "model", "step", "tier"))


def by(costs: Costs, name: str) -> dict[str, Decimal]:
    """Return the money by one group."""
    return {row.group[name]: row.known_usd for row in costs.rows}


def named(entry: LedgerEntry, model: str) -> LedgerEntry:
    return replace(entry, call=replace(entry.call, model=model))


def spent(rig: Rig) -> RunRecord:
    """Make a run with calls of two tiers and models, one unknown and one refused."""
    job = make_job(MOOD, TOPIC, DETAILS, tiers=[tier("small", chunk_items=1), tier("large", chunk_items=1)])
    run = rig.filled("abc", job)
    rig.judge_next(entry=named(call(cost_usd="0.000000000010"), "tiny"))
    rig.judge_next(escalate, entry=named(call(cost_usd="0.100000000001"), "tiny"))
    late = rig.claim_first(lease_s=0)
    rig.claim(late.chunk_id, worker="w2")
    rig.store.commit(judge(late, entry=named(call(cost_usd="0.2"), "other")))
    large = next(notice for notice in rig.waiting() if notice.tier == "large")
    rig.store.commit(judge(rig.claim(large.chunk_id), entry=named(call(cost_usd=None), "huge")))
    return run


def test_every_grouping_sums_to_the_ledger_to_the_last_unit(rig: Rig) -> None:
    run = spent(rig)
    for grouping in GROUPINGS:
        costs = rig.store.costs(run.id, by=grouping)
        assert costs.known_usd == sum(row.known_usd for row in costs.rows) == Decimal("0.300000000011"), grouping
        assert costs.unknown_calls == 1
        assert all(set(row.group) == set(grouping) for row in costs.rows)


def test_a_call_is_split_over_its_steps_by_tokens_exactly(rig: Rig) -> None:
    run = rig.filled("a", make_job(MOOD, TOPIC, DETAILS, tiers=[tier("small")]))
    rig.judge_next(entry=call(cost_usd="0.000000000010"))
    parts = by(rig.store.costs(run.id, by=["step"]), "step")
    assert parts == {"mood": 4 * UNIT, "topic": 3 * UNIT, "details": 3 * UNIT}


def test_a_longer_answer_bears_more_of_its_call(rig: Rig) -> None:
    run = rig.filled("a", make_job(MOOD, TOPIC, tiers=[tier("small")]))
    entry = call(cost_usd="0.004")
    attempts = (
        attempt((0, 0), Verdict(), entry, usage=Usage(tokens_in=9, tokens_out=1)),
        attempt((0, 1), Verdict(), entry, usage=Usage(tokens_in=20, tokens_out=10)),
    )
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=attempts, ledger=(entry,)))
    parts = by(rig.store.costs(run.id, by=["step"]), "step")
    assert parts == {"mood": Decimal("0.001"), "topic": Decimal("0.003")}


def test_a_refused_call_belongs_to_no_step(rig: Rig) -> None:
    run = spent(rig)
    parts = by(rig.store.costs(run.id, by=["step"]), "step")
    assert parts[""] == Decimal("0.2")
    assert by(rig.store.costs(run.id, by=["model"]), "model")["other"] == Decimal("0.2")


def test_an_unknown_cost_is_counted_and_not_taken_for_nothing(rig: Rig) -> None:
    run = spent(rig)
    rows = {row.group["tier"]: row for row in rig.store.costs(run.id, by=["tier"]).rows}
    assert (rows["large"].calls, rows["large"].unknown_calls, rows["large"].known_usd) == (1, 1, Decimal(0))
    assert (rows["small"].calls, rows["small"].unknown_calls) == (3, 0)
    progress = rig.store.progress(run.id)
    assert (progress.calls, progress.unknown_calls, progress.known_usd) == (4, 1, Decimal("0.300000000011"))
    assert progress.as_json()["cost"]["saved_ratio"] is None


def test_tokens_and_seconds_are_summed_from_the_ledger(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=[tier("small", chunk_items=1)]))
    rig.judge_next(entry=call(tokens_in=100, tokens_out=10))
    rig.judge_next(entry=call(tokens_in=23, tokens_out=4))
    (row,) = rig.store.costs(run.id, by=["model"]).rows
    assert (row.calls, row.tokens_in, row.tokens_out, row.tokens_cached) == (2, 123, 14, 0)
    assert row.seconds == pytest.approx(1.0)


def test_a_call_is_booked_on_its_day_in_utc(rig: Rig) -> None:
    run = rig.filled("a")
    began = rig.store.progress(run.id).created_at.astimezone(dt.UTC).date()
    rig.judge_next()
    (row,) = rig.store.costs(run.id, by=["day"]).rows
    assert row.group["day"] in {began.isoformat(), (began + dt.timedelta(days=1)).isoformat()}


def test_costs_of_all_runs_are_those_of_each(rig: Rig) -> None:
    first, second = spent(rig), rig.filled("z")
    notice = next(notice for notice in rig.waiting() if notice.run_name == second.name)
    rig.store.commit(judge(rig.claim(notice.chunk_id), entry=call(cost_usd="1")))
    total = rig.store.costs(None, by=["tier"])
    assert total.known_usd == Decimal("1.300000000011")
    assert total.unknown_calls == 1
    assert rig.store.costs(first.id, by=["tier"]).known_usd == Decimal("0.300000000011")


def test_a_run_without_calls_cost_nothing(rig: Rig) -> None:
    costs = rig.store.costs(rig.filled("a").id, by=["step"])
    assert costs == Costs(rows=(), known_usd=Decimal(0), unknown_calls=0)


@pytest.mark.parametrize("grouping", [["colour"], ["tier", "1; DROP TABLE runs"], []])
def test_costs_by_what_there_is_not_are_refused(rig: Rig, grouping: list[str]) -> None:
    run = rig.filled("a")
    with pytest.raises(ConfigError):
        rig.store.costs(run.id, by=grouping)


def test_a_million_small_costs_sum_exactly(rig: Rig) -> None:
    run = rig.filled("a")
    claimed = rig.claim_first()
    entries = tuple(call(cost_usd="0.000000000001") for _ in range(1000))
    judged = judge(claimed)
    rig.store.commit(replace(judged, ledger=(*entries, *judged.ledger)))
    assert rig.store.progress(run.id).known_usd == Decimal("0.001000001000")


def test_the_baseline_prices_the_first_answers_as_the_top_tier_would(rig: Rig) -> None:
    run = rig.filled("abcd")
    assert rig.finish(run) is RunState.DONE
    # Four answers of 10 tokens in and 1 out, at $1 and $2 a million: 40 + 8 millionths.
    assert rig.store.progress(run.id).baseline_usd == Decimal("0.000048")


def test_the_baseline_takes_the_top_tiers_own_rate_where_it_answered(rig: Rig) -> None:
    run = rig.filled("abcd")
    rig.finish(run, lambda item_no, step_no, tier_no: escalate(item_no, step_no, tier_no) if item_no < 2 else Verdict())
    # Two of the four cost $0.001 together at the top.
    assert rig.store.progress(run.id).baseline_usd == Decimal("0.002")


def test_copies_count_for_nothing_in_the_baseline(rig: Rig) -> None:
    run = rig.filled(["a", "b", "a", "a", "a"])
    rig.finish(run)
    assert rig.store.progress(run.id).baseline_usd == Decimal("0.000024")


def test_an_answer_asked_again_counts_once_in_the_baseline(rig: Rig) -> None:
    run = rig.filled("a")
    old = rig.claim_first(lease_s=0)
    new = rig.claim(old.chunk_id, worker="w2", lease_s=LONG_S)
    rig.store.commit(judge(old))
    rig.store.commit(judge(new))
    assert rig.store.progress(run.id).baseline_usd == Decimal("0.000012")


def test_without_a_price_of_the_top_tier_there_is_no_baseline(rig: Rig) -> None:
    run = rig.filled("a", make_job(tiers=[tier("small"), tier("large", price=None)]))
    rig.finish(run)
    progress = rig.store.progress(run.id)
    assert progress.baseline_usd is None
    assert progress.as_json()["cost"]["saved_ratio"] is None


def test_a_machine_priced_by_the_hour_has_no_baseline_before_it_answered(rig: Rig) -> None:
    run = rig.filled(
        "ab",
        make_job(tiers=[tier("small", chunk_items=1), tier("large", chunk_items=1)]),
        book=price_book(usd_per_hour="3.6"),
    )
    rig.judge_next()
    assert rig.store.progress(run.id).baseline_usd is None
    rig.finish(run, escalate)
    assert rig.store.progress(run.id).baseline_usd == Decimal("0.002")


def test_a_baseline_with_unknown_tokens_is_unknown(rig: Rig) -> None:
    run = rig.filled("a")
    entry = call()
    given = attempt((0, 0), Verdict(), entry, usage=Usage(tokens_in=None))
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=(given,), ledger=(entry,)))
    assert rig.store.progress(run.id).baseline_usd is None


def test_a_step_that_begins_higher_up_is_counted_from_there(rig: Rig) -> None:
    run = rig.filled("a", make_job({**MOOD, "ladder": ["large"]}, TOPIC))
    rig.finish(run)
    # mood: the top tier's own $0.001; topic: 10 tokens in and 1 out at the list price.
    assert rig.store.progress(run.id).baseline_usd == Decimal("0.001012")


def test_texts_that_no_model_read_count_in_the_baseline_as_those_that_one_did(rig: Rig) -> None:
    words = {**tier("words"), "engine": "classical", "model": "words"}
    run = rig.filled("abcd", make_job(tiers=[words, tier("large")]))
    rig.finish(run, lambda item_no, step_no, tier_no: escalate(item_no, step_no, tier_no) if item_no < 2 else Verdict())
    # The two that went up cost $0.001 together.
    assert rig.store.progress(run.id).baseline_usd == Decimal("0.002")


def test_without_any_text_that_a_model_read_there_is_no_baseline(rig: Rig) -> None:
    words = {**tier("words"), "engine": "classical", "model": "words"}
    run = rig.filled("abcd", make_job(tiers=[words, tier("large")]))
    rig.finish(run)
    assert rig.store.progress(run.id).baseline_usd is None


def test_several_calls_of_a_chunk_are_each_split_over_their_own_answers(rig: Rig) -> None:
    run = rig.filled("ab", make_job(MOOD, TOPIC, tiers=[tier("small")]))
    claimed = rig.claim_first()
    cheap, dear = call(cost_usd="0.001"), call(cost_usd="0.5")
    attempts = tuple(attempt(place, Verdict(), dear if place == (1, 1) else cheap) for place in places_of(claimed))
    rig.store.commit(JudgedChunk(claimed=claimed, policy_version=1, attempts=attempts, ledger=(cheap, dear)))
    parts = by(rig.store.costs(run.id, by=["step"]), "step")
    assert sum(parts.values()) == Decimal("0.501")
    assert parts["topic"] == Decimal("0.500333333333")


def test_an_escalated_item_bears_both_tiers_costs(rig: Rig) -> None:
    run = rig.filled("a", make_job(MOOD, tiers=[tier("small"), tier("large")]))
    rig.judge_next(lambda *_: Escalation(1, "low_confidence"), entry=call(cost_usd="0.001"))
    rig.store.settle(run.id)
    rig.judge_next(entry=call(cost_usd="0.01"))
    costs = rig.store.costs(run.id, by=["step", "tier"])
    assert {(row.group["step"], row.group["tier"]): row.known_usd for row in costs.rows} == {
        ("mood", "small"): Decimal("0.001"),
        ("mood", "large"): Decimal("0.01"),
    }


def test_an_unresolved_answer_asked_again_counts_once_in_the_baseline(rig: Rig) -> None:
    run = rig.filled("a", make_job(tiers=[tier("large")]))
    rig.finish(run, lambda *_: Unresolved("low_confidence"))
    rig.store.retry(run.id, unresolved=True)
    rig.finish(run)
    progress = rig.store.progress(run.id)
    assert (progress.known_usd, progress.baseline_usd) == (Decimal("0.002"), Decimal("0.001"))
