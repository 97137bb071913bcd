"""Ladders tried on the answers of three tiers whose confidence tells when they are right."""

from decimal import Decimal

import numpy as np
import pytest

from pipeline.domain.certify import Promise
from pipeline.flow.evaluate import StepAnswers, TierAnswers
from pipeline.flow.plan import Ladder, plan_step, tiers_to_spare

ITEMS = 1000
PROMISE = Promise(target=0.95, delta=0.1)


def step(*, middle_right: float = 0.9, words_right: float = 0.7, knows: float = 0.25) -> StepAnswers:
    """Three tiers, each ten times as dear as the one before; `knows` is how much their confidence varies with it."""
    chance = np.random.default_rng(4)
    gold = chance.integers(0, 3, ITEMS)
    shares = {"words": words_right, "middle": middle_right, "large": 0.97}
    large = _said(gold, shares["large"], chance, knows)[0]
    tiers = []
    for number, (name, share) in enumerate(shares.items()):
        values, sure = (large, np.full(ITEMS, 0.97)) if name == "large" else _said(gold, share, chance, knows)
        tiers.append(
            TierAnswers(
                tier=name,
                values=values.tolist(),
                usable=np.ones(ITEMS, dtype=np.bool_),
                chances=sure,
                right=values == gold,
                as_top=values == large,
                threshold=None if name == "large" else 0.85,
                seconds=ITEMS * 0.001 * 10**number,
                usd=Decimal(10**number) / 1000,
            )
        )
    return StepAnswers(step="topic", keys=[str(n) for n in range(ITEMS)], gold=gold.tolist(), slices={}, tiers=tiers)


def _said(gold: np.ndarray, share: float, chance: np.random.Generator, knows: float) -> tuple[np.ndarray, np.ndarray]:
    sure = np.clip(share + knows * chance.normal(0.0, 1.0, len(gold)), 0.34, 0.999)
    right = chance.random(len(gold)) < sure
    return np.where(right, gold, (gold + 1) % 3), sure


def ladders(
    plan_of: StepAnswers, promise: Promise | None, tolerance: float = 0.005
) -> dict[tuple[str, ...], list[Ladder]]:
    found: dict[tuple[str, ...], list[Ladder]] = {}
    for one in plan_step(plan_of, promise, items=20_000, tolerance=tolerance).ladders:
        found.setdefault(one.tiers, []).append(one)
    return found


def test_without_a_target_every_choice_of_tiers_is_tried_and_the_cheapest_good_one_is_chosen() -> None:
    plan = plan_step(step(), None, items=1000, tolerance=0.01)
    assert {one.tiers for one in plan.ladders} == {
        ("words",),
        ("middle",),
        ("large",),
        ("words", "middle"),
        ("words", "large"),
        ("middle", "large"),
        ("words", "middle", "large"),
    }
    best = max(one.accuracy for one in plan.ladders)
    good = [one for one in plan.ladders if one.accuracy >= best - 0.01]
    assert plan.chosen.cost == min(one.cost for one in good)
    assert plan.chosen.accuracy >= best - 0.01
    assert plan.chosen.cost < ladders(step(), None)["large",][0].cost


def test_with_a_target_the_last_tier_stays_and_its_answers_are_the_measure() -> None:
    plan = plan_step(step(), PROMISE, items=20_000, tolerance=0.0)
    assert all(one.tiers[-1] == "large" for one in plan.ladders)
    assert plan.chosen.agreement >= 0.95
    alone = next(one for one in plan.ladders if one.tiers == ("large",))
    assert (alone.agreement, alone.goes_up) == (1.0, 1.0)
    assert plan.chosen.cost < alone.cost
    assert len(plan.chosen.tiers) > 1


def test_a_larger_run_shares_the_price_of_the_drawn_texts_among_more() -> None:
    few = plan_step(step(), PROMISE, items=1000, tolerance=0.0).chosen
    many = plan_step(step(), PROMISE, items=20_000, tolerance=0.0).chosen
    assert many.goes_up < few.goes_up


def test_tiers_that_only_guess_leave_the_last_one_alone() -> None:
    useless = plan_step(step(middle_right=0.34, words_right=0.34, knows=0.0), PROMISE, items=20_000, tolerance=0.0)
    assert useless.chosen.tiers == ("large",)
    assert tiers_to_spare([useless], ["words", "middle", "large"]) == ["words", "middle"]


def test_the_frontier_holds_what_none_beats_in_both_cost_and_accuracy() -> None:
    plan = plan_step(step(), None, items=1000, tolerance=0.005)
    front = [one for one in plan.ladders if one.on_frontier]
    assert [one.cost for one in front] == sorted(one.cost for one in front)
    assert [one.accuracy for one in front] == sorted(one.accuracy for one in front)
    for one in plan.ladders:
        beaten = any(other.cost <= one.cost and other.accuracy > one.accuracy for other in front)
        assert one.on_frontier or beaten or any(other.accuracy == one.accuracy for other in front)


def test_unknown_prices_rank_by_seconds() -> None:
    known = step()
    tiers = [
        TierAnswers(**{**{name: getattr(one, name) for name in TierAnswers.__slots__}, "usd": None})
        for one in known.tiers
    ]
    free = StepAnswers(step="topic", keys=known.keys, gold=known.gold, slices={}, tiers=tiers)
    chosen = plan_step(free, None, items=1000, tolerance=0.01).chosen
    assert chosen.usd_per_item is None
    assert chosen.cost == chosen.seconds_per_item
    assert chosen.cost == pytest.approx(plan_step(known, None, items=1000, tolerance=0.01).chosen.seconds_per_item)
