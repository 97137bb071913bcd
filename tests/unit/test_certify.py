"""Thresholds with a promise: kept in every case that can be listed, and refused where it cannot be."""

from itertools import combinations
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.bounds import allowed_found, most_left
from pipeline.domain.certify import (
    MOST_STEPS,
    Certificate,
    Drawing,
    Path,
    Promise,
    Refusal,
    certify,
    common_path,
    lost_from,
)
from pipeline.domain.drawing import choose_drawing

ITEMS = 10


def drawing_of(last: int, region: int, drawn: int, promise: Promise, items: int) -> Drawing | None:
    allowed = allowed_found(drawn=drawn, left=promise.budget(items), size=region, delta=promise.delta)
    if allowed is None:
        return None
    return Drawing(last=last, region=region, drawn=drawn, allowed=allowed, expected_avoided=0.0)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 2),
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans(), st.booleans()), min_size=ITEMS, max_size=ITEMS
    ),
    st.integers(2, 6),
    st.sampled_from([0.9, 0.8, 0.7, 0.5]),
    st.sampled_from([0.1, 0.3, 0.5]),
)
def test_over_all_draws_the_promise_is_broken_no_more_often_than_delta(
    tiers: int, rows: list[tuple[int, int, bool, bool]], drawn: int, target: float, delta: float
) -> None:
    confidences = np.array([row[:tiers] for row in rows], dtype=np.float64) / 4
    wrong = np.array([row[2 : 2 + tiers] for row in rows])
    promise, path = Promise(target=target, delta=delta), common_path(confidences)
    entries = path.entries(confidences)
    drawing = drawing_of(len(path.thresholds) - 1, ITEMS, drawn, promise, ITEMS)
    if drawing is None:
        return
    lost = lost_from(entries, wrong)
    cases = [np.array(case) for case in combinations(range(ITEMS), drawn)]
    broken = bound_broken = 0
    for case in cases:
        found = certify(promise, path, drawing, entries, case.tolist(), lost[case])
        if isinstance(found, Certificate):
            accepted = np.asarray(entries <= found.step)
            kept = np.array(accepted.any(axis=1))
            kept[case] = False
            mistakes = int(wrong[np.arange(ITEMS), accepted.argmax(axis=1)][kept].sum())
            broken += mistakes > promise.budget(ITEMS)
            bound_broken += mistakes > found.left_at_most * ITEMS + 1e-9
            assert found.goes_up == pytest.approx(1 - kept.sum() / ITEMS)
    assert broken <= delta * len(cases) + 1e-9
    assert bound_broken <= delta * len(cases) + 1e-9


def test_equal_confidences_are_accepted_together() -> None:
    path = common_path(np.array([[0.9], [0.9], [0.5]]))
    assert path.thresholds == ((inf,), (0.9,), (0.5,))
    assert path.entries(np.array([[0.9], [0.7], [0.5], [0.1], [nan]])).ravel().tolist() == [1, 2, 2, 3, 3]


def test_a_long_path_keeps_a_bounded_number_of_steps() -> None:
    confidences = np.linspace(0, 1, 5 * MOST_STEPS)[:, None]
    path = common_path(confidences)
    assert len(path.thresholds) <= MOST_STEPS + 1
    assert path.entries(confidences).max() < len(path.thresholds)


def test_an_item_is_lost_from_the_first_wrong_answer_that_is_taken() -> None:
    entries = np.array([[2, 1], [1, 2], [1, 1], [3, 1]])
    wrong = np.array([[False, True], [False, True], [False, True], [True, False]])
    never = np.iinfo(np.int64).max
    assert lost_from(entries, wrong).tolist() == [1, never, never, 3]


def run_of(
    items: int, first_wrong: int
) -> tuple[Path, np.ndarray[tuple[int, ...], np.dtype[np.int64]], np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    confidences = np.linspace(1, 0, items)[:, None]
    path = common_path(confidences)
    entries = path.entries(confidences)
    return path, entries, lost_from(entries, np.arange(items)[:, None] >= first_wrong)


def test_a_certificate_names_thresholds_share_and_bound() -> None:
    path, entries, lost = run_of(1000, 700)
    promise = Promise(target=0.9, delta=0.1)
    drawing = choose_drawing(promise, entries.min(axis=1), np.linspace(0, 0.6, 1000), steps=len(path.thresholds))
    assert drawing is not None
    accepted = np.flatnonzero(entries.min(axis=1) <= drawing.last)
    drawn = accepted[np.linspace(0, len(accepted) - 1, drawing.drawn).astype(int)]
    found = certify(promise, path, drawing, entries, drawn.tolist(), lost[drawn])
    assert isinstance(found, Certificate)
    assert 700 <= found.step < 860
    assert found.thresholds == path.thresholds[found.step]
    assert found.left_at_most <= 0.1
    assert found.lost <= drawing.allowed
    assert 0.15 < found.goes_up < 0.4


def test_a_hopeless_tier_is_refused_with_what_is_possible() -> None:
    path, entries, lost = run_of(1000, 0)
    promise = Promise(target=0.9, delta=0.1)
    drawing = drawing_of(1000, 1000, 60, promise, 1000)
    assert drawing is not None
    drawn = np.arange(60)
    found = certify(promise, path, drawing, entries, drawn.tolist(), lost[drawn])
    assert isinstance(found, Certificate | Refusal)
    whole = certify(promise, path, drawing, np.ones_like(entries), drawn.tolist(), np.ones(60, dtype=np.int64))
    assert isinstance(whole, Refusal)
    assert whole.lost == 60
    assert whole.best_target == pytest.approx(1 - most_left(found=60, drawn=60, size=1000, delta=0.1) / 1000)
    assert 0.8 < whole.must_go_up <= 0.9


def test_a_drawing_that_does_not_fit_is_refused() -> None:
    path, entries, lost = run_of(100, 90)
    promise = Promise(target=0.9, delta=0.1)
    drawn = np.arange(20)
    for drawing, message in (
        (Drawing(last=100, region=99, drawn=20, allowed=0, expected_avoided=0.0), "region"),
        (Drawing(last=100, region=100, drawn=21, allowed=0, expected_avoided=0.0), "drawn items"),
        (Drawing(last=100, region=100, drawn=20, allowed=5, expected_avoided=0.0), "allows more"),
    ):
        with pytest.raises(ValueError, match=message):
            certify(promise, path, drawing, entries, drawn.tolist(), lost[drawn])


def test_what_is_no_path_or_promise_is_refused() -> None:
    with pytest.raises(ValueError, match="infinite"):
        Path(thresholds=((0.5,),))
    with pytest.raises(ValueError, match="rise"):
        Path(thresholds=((inf,), (0.5,), (0.6,)))
    with pytest.raises(ValueError, match="between 0 and 1"):
        Promise(target=1.0, delta=0.1)


@given(st.integers(50, 400), st.floats(0.02, 0.9), st.sampled_from([0.8, 0.95, 0.98]))
@settings(max_examples=30, deadline=None)
def test_a_drawing_is_always_one_that_the_bound_allows(items: int, doubt: float, target: float) -> None:
    promise = Promise(target=target, delta=0.1)
    entries = np.arange(1, items + 1)
    drawing = choose_drawing(promise, entries, np.linspace(0, doubt, items), steps=items + 1)
    if drawing is not None:
        most = allowed_found(drawn=drawing.drawn, left=promise.budget(items), size=drawing.region, delta=promise.delta)
        assert most is not None
        assert drawing.allowed <= most or drawing.region - drawing.drawn <= promise.budget(items)
        assert 0.0 < drawing.expected_avoided <= 1.0


def test_a_larger_run_is_spared_a_larger_share() -> None:
    shares = []
    for items in (2_000, 20_000, 200_000):
        entries = np.arange(items) * MOST_STEPS // items + 1
        drawing = choose_drawing(
            Promise(target=0.95, delta=0.1), entries, np.linspace(0, 1, items) ** 3, steps=MOST_STEPS + 1
        )
        assert drawing is not None
        shares.append(drawing.expected_avoided)
    assert shares[0] < shares[1] < shares[2]


def test_a_sure_run_needs_no_drawn_item() -> None:
    drawing = choose_drawing(Promise(target=0.5, delta=0.1), np.ones(1, dtype=np.int64), np.zeros(1), steps=2)
    assert drawing is None or drawing.drawn <= 1
