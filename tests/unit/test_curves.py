"""From signals to the chance of being right: what every curve gives, and which one is chosen."""

from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.domain.curves import KINDS, Curve, Floats, Kind, choose_curve, fit_curve, log_loss, log_odds, logistic

Right: TypeAlias = NDArray[np.bool_]


def answers(count: int, *, boldness: float, shift: float = 0.0, seed: int = 5) -> tuple[Floats, Right]:
    """Answers whose log-odds are `boldness` times what would be true, and `shift` off."""
    chance = np.random.default_rng(seed)
    truth = chance.normal(1.0, 1.5, count)
    right = chance.random(count) < logistic(truth)
    return np.column_stack([boldness * truth + shift, chance.normal(size=count)]), right


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_log_odds_and_their_chances_are_each_others_inverse(shares: list[float]) -> None:
    found = logistic(log_odds(np.array(shares)))
    assert np.allclose(found, np.clip(shares, 1e-6, 1 - 1e-6), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@given(
    signals=arrays(np.float64, (12, 2), elements=st.floats(-20, 20)),
    right=arrays(np.bool_, 12),
    asked=arrays(np.float64, (5, 2), elements=st.floats(-50, 50)),
)
def test_every_curve_gives_chances_for_any_signals(kind: Kind, signals: Floats, right: Right, asked: Floats) -> None:
    found = fit_curve(kind, signals, right)(asked)
    assert found.shape == (5,)
    assert np.all((found >= 0.0) & (found <= 1.0))


@pytest.mark.parametrize("kind", ["as said", "line", "steps"])
def test_a_surer_answer_is_never_less_likely_to_be_right(kind: Kind) -> None:
    curve = fit_curve(kind, *answers(400, boldness=3.0))
    ladder = np.column_stack([np.linspace(-9, 9, 50), np.zeros(50)])
    assert np.all(np.diff(curve(ladder)) >= 0.0)


def test_the_staircase_is_the_one_of_the_worked_series() -> None:
    signals = log_odds(np.array([0.9] * 4 + [0.99] * 4))[:, None]
    right = np.array([True, True, False, False, True, True, True, True])
    curve = fit_curve("steps", signals, right)
    assert curve.values == (0.5, 0.9)
    assert curve(log_odds(np.array([0.5, 0.95, 0.999]))[:, None]).tolist() == [0.5, 0.5, 0.9]


def test_the_engines_word_stands_where_it_is_true() -> None:
    signals, right = answers(1500, boldness=1.0)
    chosen = choose_curve(signals, right)
    assert chosen.curve.kind == "as said"
    assert chosen.loss == chosen.plain_loss
    assert chosen.curve(signals) == pytest.approx(logistic(signals[:, 0]))


@pytest.mark.parametrize(("boldness", "shift"), [(3.0, 0.0), (1.0, 2.0), (0.3, -1.0)])
def test_a_bold_or_shifted_word_is_corrected_on_answers_that_were_held_out(boldness: float, shift: float) -> None:
    chosen = choose_curve(*answers(1500, boldness=boldness, shift=shift))
    signals, right = answers(4000, boldness=boldness, shift=shift, seed=77)
    assert chosen.curve.kind != "as said"
    assert chosen.loss < chosen.plain_loss
    corrected = log_loss(chosen.curve(signals), right)
    assert corrected < log_loss(logistic(signals[:, 0]), right) - 0.02
    assert corrected == pytest.approx(chosen.loss, abs=0.03)


def test_a_second_signal_is_used_where_it_tells_more() -> None:
    chance = np.random.default_rng(3)
    said, hidden = chance.normal(size=1500), chance.normal(size=1500)
    right = chance.random(1500) < logistic(2.0 * hidden)
    chosen = choose_curve(np.column_stack([said, hidden]), right)
    assert chosen.curve.kind == "signals"
    assert chosen.curve.weights[1] == pytest.approx(2.0, abs=0.4)
    assert chosen.curve.weights[0] == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize(
    "right", [np.ones(100, dtype=np.bool_), np.zeros(100, dtype=np.bool_), np.array([True, False])]
)
def test_answers_that_say_too_little_change_nothing(right: Right) -> None:
    signals = np.zeros((len(right), 2))
    assert choose_curve(signals, right).curve == Curve(kind="as said", weights=(1.0, 0.0))


def test_no_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="a curve is fitted on"):
        fit_curve("line", np.zeros((0, 1)), np.zeros(0, dtype=np.bool_))


def test_a_curve_outlives_being_written_and_read() -> None:
    curve = fit_curve("steps", *answers(200, boldness=2.0))
    assert Curve.model_validate_json(curve.model_dump_json()) == curve
