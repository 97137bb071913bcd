"""A sample of a stream, and between which numbers the mean of all lies."""

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.curves import Floats
from pipeline.domain.sampling import Reservoir, mean_interval, most_unseen

VALUES = st.lists(st.floats(0, 1000).map(lambda value: round(value, 6)), min_size=2, max_size=40)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.integers(0, 60), st.integers(1, 20), st.integers())
def test_a_reservoir_keeps_as_many_different_ones_as_it_may(count: int, size: int, seed: int) -> None:
    kept: Reservoir[int] = Reservoir(size=size, below=Random(seed).randrange)
    for one in range(count):
        kept.offer(one)
    assert kept.offered == count
    assert len(set(kept.kept)) == len(kept.kept) == min(size, count)


def test_each_of_a_stream_is_as_likely_to_be_kept_as_any_other() -> None:
    times = np.zeros(20)
    for seed in range(4000):
        kept: Reservoir[int] = Reservoir(size=5, below=Random(seed).randrange)
        for one in range(20):
            kept.offer(one)
        times[kept.kept] += 1
    assert np.all(np.abs(times / 4000 - 0.25) < 0.03)


@given(VALUES)
def test_an_interval_holds_the_samples_mean_and_lies_within_its_values(values: list[float]) -> None:
    found = mean_interval(values, rng())
    assert found is not None
    mean = float(np.mean(values))
    assert min(values) - 1e-6 <= found[0] <= mean + 1e-6
    assert mean - 1e-6 <= found[1] <= max(values) + 1e-6


@given(VALUES, st.sampled_from([0.125, 4.0, 1024.0]))
def test_in_another_currency_the_interval_is_the_same(values: list[float], rate: float) -> None:
    one, other = mean_interval(values, rng()), mean_interval([value * rate for value in values], rng())
    assert one is not None
    assert other == pytest.approx((one[0] * rate, one[1] * rate), rel=1e-6, abs=1e-6)


def test_where_all_were_asked_nothing_is_left_to_guess() -> None:
    found = mean_interval([1.0, 2.0, 6.0], rng(), of=3)
    assert found == (3.0, 3.0)
    assert mean_interval([5.0], rng()) is None
    assert mean_interval([5.0, 5.0], rng()) == (5.0, 5.0)


def gamma(draw: np.random.Generator, size: int) -> Floats:
    return draw.gamma(0.5, 2.0, size)


def lognormal(draw: np.random.Generator, size: int) -> Floats:
    return draw.lognormal(0.0, 1.0, size)


def cascade(draw: np.random.Generator, size: int) -> Floats:
    """Return what a cheap tier costs for all, and one forty times as dear for a seventh of them."""
    return 1.0 + 40.0 * (draw.random(size) < 0.15) * draw.gamma(4.0, 0.25, size)


@pytest.mark.parametrize(("costs", "mean"), [(gamma, 1.0), (lognormal, float(np.exp(0.5))), (cascade, 7.0)])
def test_a_90_percent_interval_holds_the_true_mean_of_skewed_costs_in_about_90_of_100_draws(
    costs: Callable[[np.random.Generator, int], Floats], mean: float
) -> None:
    draw, held = rng(20261130), 0
    for _ in range(400):
        found = mean_interval(costs(draw, 200).tolist(), draw)
        assert found is not None
        held += found[0] <= mean <= found[1]
    assert 0.85 <= held / 400 <= 0.95


@pytest.mark.parametrize("sampled", [50, 200])
def test_the_interval_holds_for_a_finite_run_of_which_much_was_asked(sampled: int) -> None:
    draw, held = rng(7), 0
    for _ in range(400):
        run = cascade(draw, 300)
        found = mean_interval(draw.choice(run, sampled, replace=False).tolist(), draw, of=300)
        assert found is not None
        held += found[0] <= float(run.mean()) <= found[1]
    assert 0.85 <= held / 400 <= 0.95


def test_what_a_sample_has_none_of_may_still_be_a_few_in_a_hundred() -> None:
    assert most_unseen(200) == pytest.approx(0.0149, abs=1e-4)
    assert (1 - most_unseen(200)) ** 200 == pytest.approx(0.05)
