"""How far scores are from being true: the error over bins, and what of it chance does not explain."""

import numpy as np
import pytest

from pipeline.domain.calibration import calibration_error, excess_calibration_error


def test_the_worked_series_comes_out() -> None:
    scores, right = [0.9, 0.5, 0.8, 0.6], [True, False, True, True]
    assert calibration_error(scores, right, bins=2) == pytest.approx(0.1)


def test_bins_hold_equally_many_answers_whatever_the_scores() -> None:
    """Nine sure answers and one unsure one: bins of equal width would put the nine into one."""
    scores = [0.99] * 9 + [0.1]
    right = [True] * 9 + [True]
    assert calibration_error(scores, right) == pytest.approx((9 * 0.01 + 0.9) / 10)


def test_fewer_answers_than_bins_are_a_bin_each_and_none_have_no_error() -> None:
    assert calibration_error([0.7], [True]) == pytest.approx(0.3)
    assert calibration_error([], []) is None
    assert excess_calibration_error([], [], np.random.default_rng(1)) is None


def test_bins_whose_sizes_differ_count_by_their_answers() -> None:
    scores, right = [0.1, 0.2, 0.6, 0.7, 0.8], [False, False, True, True, False]
    assert calibration_error(scores, right, bins=2) == pytest.approx((0.3 + 0.1) / 5)


def test_true_scores_have_no_excess_and_sure_errors_have_nearly_all_of_it() -> None:
    chance = np.random.default_rng(7)
    found = []
    for _ in range(60):
        scores = chance.uniform(0.3, 1.0, 200)
        true = [bool(one) for one in chance.random(200) < scores]
        found.append(excess_calibration_error(list(scores), true, chance, rounds=50) or 0.0)
    assert abs(float(np.mean(found))) < 0.006
    assert min(found) < 0 < max(found)
    wrong = excess_calibration_error([0.95] * 300, [False] * 300, chance)
    assert wrong is not None
    assert wrong > 0.9


def test_the_same_seed_gives_the_same_excess() -> None:
    scores, right = [0.6, 0.7, 0.9, 0.95], [True, False, True, True]
    first, second = (excess_calibration_error(scores, right, np.random.default_rng(3)) for _ in range(2))
    assert first == second
