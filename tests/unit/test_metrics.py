"""Numbers about answers whose truth is known, against those of small worked series."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.metrics import (
    area_under_risk,
    bins_of,
    brier,
    field_f1,
    macro_f1,
    paired_difference,
    risk_coverage,
)

Answers = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def test_macro_f1_is_that_of_the_worked_series() -> None:
    assert macro_f1(["a", "b", "b", "b"], ["a", "a", "b", "b"]) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_a_label_that_is_never_answered_counts_as_nothing_right() -> None:
    assert macro_f1([None, "a"], ["b", "a"]) == 0.5
    assert macro_f1([], []) is None


def test_values_of_records_are_counted_over_all_fields_together() -> None:
    gold = [{"order": "A-1", "due": None}, {"order": None, "due": "2026-01-01"}]
    said = [{"order": "A-1", "due": "2026-02-02"}, None]
    matches = [{"order": True, "due": False}, {"order": True, "due": False}]
    # Two values are true, two were said, one of them is right.
    assert field_f1(said, gold, matches) == pytest.approx(0.5)
    assert field_f1([{"x": None}], [{"x": None}], [{"x": True}]) is None


@given(Answers)
def test_a_brier_score_is_at_most_one_and_nothing_for_perfect_chances(answers: list[tuple[float, bool]]) -> None:
    chances, right = np.array([one for one, _ in answers]), np.array([one for _, one in answers])
    found = brier(chances, right)
    assert found is not None
    assert 0.0 <= found <= 1.0
    assert brier(right.astype(float), right) == 0.0


@given(Answers)
def test_the_risk_of_answering_all_is_the_share_of_wrong_answers(answers: list[tuple[float, bool]]) -> None:
    chances, right = np.array([one for one, _ in answers]), np.array([one for _, one in answers])
    curve = risk_coverage(chances, right)
    assert curve[-1] == pytest.approx(1.0 - right.mean())
    assert np.all((curve >= 0.0) & (curve <= 1.0))


def test_surer_answers_that_are_right_make_a_smaller_area() -> None:
    right = np.array([True, True, True, False])
    good, bad = np.array([0.9, 0.8, 0.7, 0.1]), np.array([0.1, 0.7, 0.8, 0.9])
    assert area_under_risk(good, right) == pytest.approx(0.25 / 4)
    assert (area_under_risk(bad, right) or 0.0) > 0.25


@given(Answers)
def test_bins_hold_every_answer_once(answers: list[tuple[float, bool]]) -> None:
    chances, right = np.array([one for one, _ in answers]), np.array([one for _, one in answers])
    bins = bins_of(chances, right)
    assert sum(count for _, _, count in bins) == len(answers)
    assert sum(share * count for _, share, count in bins) == pytest.approx(right.sum())
    assert all(one[0] <= other[0] + 1e-9 for one, other in itertools.pairwise(bins))


def test_a_clear_difference_is_told_from_chance() -> None:
    before = np.array([False] * 60 + [True] * 140)
    after = np.array([True] * 50 + [False] * 10 + [True] * 140)
    found = paired_difference(before, after, np.random.default_rng(1))
    assert found is not None
    assert (found.change, found.gained, found.lost) == (0.25, 50, 0)
    assert found.low < 0.25 < found.high
    assert found.is_clear
    turned = paired_difference(after, before, np.random.default_rng(1))
    assert turned is not None
    assert turned.change == -0.25
    even = np.array([True, False] * 100)
    same = paired_difference(even, ~even, np.random.default_rng(1))
    assert same is not None
    assert not same.is_clear


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    chance = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        before = chance.random(300) < 0.7
        after = np.where(chance.random(300) < 0.2, chance.random(300) < 0.9, before)
        found = paired_difference(before, after, chance)
        assert found is not None
        held += found.low <= 0.2 * (0.9 - 0.7) <= found.high
    assert held >= 180


def test_no_items_are_no_difference() -> None:
    nothing = np.zeros(0, dtype=np.bool_)
    assert paired_difference(nothing, nothing, np.random.default_rng(0)) is None
    assert brier(np.zeros(0), nothing) is None
