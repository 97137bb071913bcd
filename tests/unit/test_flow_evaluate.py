"""Every tier and the cascade on the same labelled texts, counted by hand."""

from decimal import Decimal

import numpy as np
import pytest

from pipeline.flow.evaluate import (
    StepAnswers,
    TierAnswers,
    alone,
    at_target,
    cascade,
    frontier,
    hardest,
    job_thresholds,
    without_top,
)
from pipeline.flow.evaluation import Evaluation, evaluate_step, evaluation_json, moved

GOLD = ["a", "a", "b", "b", "b"]


def tier(
    name: str, values: list[str | None], chances: list[float], *, threshold: float | None, usd: str = "5"
) -> TierAnswers:
    top = ["a", "a", "b", "b", "a"]
    return TierAnswers(
        tier=name,
        values=values,
        usable=np.array([value is not None for value in values]),
        chances=np.array(chances),
        right=np.array([value == gold for value, gold in zip(values, GOLD, strict=True)]),
        as_top=np.array([value == one for value, one in zip(values, top, strict=True)]),
        threshold=threshold,
        seconds=10.0,
        usd=Decimal(usd),
    )


def step() -> StepAnswers:
    return StepAnswers(
        step="topic",
        keys=list("12345"),
        gold=GOLD,
        slices={"short": np.array([True, False, True, False, False])},
        tiers=[
            tier("small", ["a", "b", "b", None, "b"], [0.9, 0.6, 0.8, np.nan, 0.7], threshold=0.75),
            tier("large", ["a", "a", "b", "b", "a"], [0.9] * 5, threshold=None, usd="50"),
        ],
    )


def test_a_tier_alone_lets_every_usable_answer_stand() -> None:
    small, large = alone(step(), 0), alone(step(), 1)
    assert small.right.tolist() == [True, False, True, False, True]
    assert small.answered.tolist() == [True, True, True, False, True]
    assert large.right.tolist() == [True, True, True, True, False]
    assert (small.usd_per_item, large.usd_per_item) == (1.0, 10.0)


def test_the_cascade_sends_up_what_is_unsure_or_unusable_and_pays_for_both_readings() -> None:
    found = cascade(step(), job_thresholds(step()))
    assert found.tiers.tolist() == [0, 1, 0, 1, 1]
    assert found.right.tolist() == [True, True, True, True, False]
    assert found.values == ["a", "a", "b", "b", "a"]
    # All texts at one dollar, three of five at ten more.
    assert found.usd_per_item == pytest.approx(1.0 + 0.6 * 10.0)
    assert found.seconds_per_item == pytest.approx(2.0 + 0.6 * 2.0)


def test_an_unknown_price_makes_the_cost_unknown_and_not_nothing() -> None:
    known = step()
    free = tier("large", ["a", "a", "b", "b", "a"], [0.9] * 5, threshold=None)
    unknown = StepAnswers(
        step="topic", keys=known.keys, gold=GOLD, slices={}, tiers=[known.tiers[0], _without_price(free)]
    )
    assert cascade(unknown, job_thresholds(unknown)).usd_per_item is None
    assert alone(unknown, 1).usd_per_item is None
    found = evaluate_step(unknown, kind="classify", target=None)
    assert found.earns is not None
    assert found.earns.usd_per_item is None


def _without_price(one: TierAnswers) -> TierAnswers:
    return TierAnswers(**{name: getattr(one, name) for name in TierAnswers.__slots__ if name != "usd"}, usd=None)


def test_without_the_top_the_tier_below_accepts_all_that_is_usable() -> None:
    assert without_top(step()).right.tolist() == [True, False, True, False, True]


def test_the_frontier_reaches_from_accepting_nothing_to_accepting_all() -> None:
    found = frontier(step())
    assert found[0][1].tiers.tolist() == [1, 1, 1, 1, 1]
    assert found[-1][1].tiers.tolist() == [0, 0, 0, 1, 0]
    costs = [way.usd_per_item or 0.0 for _, way in found]
    assert costs == sorted(costs, reverse=True)


def test_a_target_is_kept_at_the_loosest_threshold_that_agrees_with_the_top_often_enough() -> None:
    # Down to .7 the last text is accepted, in which both tiers differ; down to .6 the second one as well.
    assert at_target(step(), 0.95)[1].tiers.tolist() == [0, 1, 0, 1, 1]
    assert at_target(step(), 0.8)[1].tiers.tolist() == [0, 1, 0, 1, 0]
    assert at_target(step(), 0.6)[1].tiers.tolist() == [0, 0, 0, 1, 0]


def test_the_hardest_fifth_begins_with_what_the_first_tier_cannot_answer() -> None:
    assert hardest(step()).tolist() == [False, False, False, True, False]


def evaluation(name: str, one: StepAnswers) -> Evaluation:
    return Evaluation(
        name=name,
        made_at="2026-11-27",
        job="j",
        job_digest="d",
        models={},
        keys={"topic": list(one.keys)},
        steps=(evaluate_step(one, kind="classify", target=None),),
    )


def test_figures_of_a_step_are_those_one_counts_by_hand() -> None:
    found = evaluate_step(step(), kind="classify", target=None)
    small, large, both = found.ways
    assert (small.name, large.name, both.name) == ("small", "large", "cascade")
    assert (small.accuracy, large.accuracy, both.accuracy) == (0.6, 0.8, 0.8)
    assert small.answered == 0.8
    assert both.escalated == pytest.approx(0.6)
    assert (small.hard_fifth, both.hard_fifth) == (0.0, 1.0)
    assert small.slices == {"short": 1.0}
    assert both.taken == {"small": 0.4, "large": 0.6}
    assert both.right == "11110"
    assert small.confusion == {"a": {"a": 1, "b": 1}, "b": {"b": 2, "(none)": 1}}
    assert found.earns is not None
    assert found.earns.change == pytest.approx(0.2)
    assert found.earns.usd_per_gain == pytest.approx(6.0 / 0.2)


def test_two_evaluations_are_compared_on_the_texts_that_both_have() -> None:
    before = step()
    better = tier("small", ["a", "a", "b", "b", "b"], [0.9] * 5, threshold=0.75)
    after = StepAnswers(step="topic", keys=list("12349"), gold=GOLD, slices={}, tiers=[better, before.tiers[1]])
    found = {one.way: one for one in moved(evaluation("x", before), evaluation("y", after))}
    assert set(found) == {"small", "large", "cascade"}
    small = found["small"]
    assert (small.items, small.before, small.after, small.gained, small.lost) == (4, 0.5, 1.0, 2, 0)
    assert found["large"].change == 0.0


def test_the_script_contract_leaves_out_what_only_serves_to_draw() -> None:
    found = evaluation_json(evaluation("x", step()))
    assert "keys" not in found
    (one,) = found["steps"]
    assert "right" not in one["ways"][0]
    assert one["ways"][0]["accuracy"] == 0.6


def test_a_text_that_no_label_fits_is_right_where_it_gets_none() -> None:
    one = StepAnswers(
        step="topic",
        keys=list("12345"),
        gold=["a", "a", "b", None, None],
        slices={},
        tiers=[tier("small", ["a", "b", "b", None, "a"], [0.9, 0.6, 0.8, np.nan, 0.7], threshold=None)],
    )
    found = evaluate_step(one, kind="classify", target=None)
    assert found.ways[0].right == "10110"
    assert found.ways[0].confusion["(none)"] == {"(none)": 1, "a": 1}
    assert found.ways[0].f1 == pytest.approx((1 / 2 + 2 / 3 + 2 / 3) / 3)
