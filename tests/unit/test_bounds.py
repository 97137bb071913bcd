"""Exact bounds on bad items left undrawn: against counting every draw by hand."""

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.bounds import (
    allowed_found,
    binomial_tail,
    fewest_bad,
    fewest_drawn,
    hypergeometric_tail,
    miss_chance,
    most_left,
)


@st.composite
def draws(pick: st.DrawFn) -> tuple[int, int, int, int]:
    size = pick(st.integers(0, 40))
    drawn, bad = pick(st.integers(0, size)), pick(st.integers(0, size))
    return size, drawn, bad, pick(st.integers(-1, drawn))


@given(draws())
def test_the_tail_without_replacement_is_what_counting_the_draws_gives(case: tuple[int, int, int, int]) -> None:
    size, drawn, bad, found = case
    ways = sum(comb(bad, count) * comb(size - bad, drawn - count) for count in range(found + 1))
    assert hypergeometric_tail(found, drawn=drawn, bad=bad, size=size) == pytest.approx(ways / comb(size, drawn))


@given(st.integers(0, 60), st.integers(-1, 60), st.floats(0.0, 1.0))
def test_the_tail_with_replacement_is_the_sum_of_its_terms(drawn: int, found: int, rate: float) -> None:
    terms = (comb(drawn, count) * rate**count * (1 - rate) ** (drawn - count) for count in range(min(found, drawn) + 1))
    assert binomial_tail(found, drawn=drawn, rate=rate) == pytest.approx(sum(terms), abs=1e-9)


@given(draws())
def test_no_number_of_bad_items_is_missed_more_often_than_said(case: tuple[int, int, int, int]) -> None:
    size, drawn, left, found = case
    if found < 0:
        return
    worst = max(
        (
            hypergeometric_tail(min(found, bad - left - 1), drawn=drawn, bad=bad, size=size)
            for bad in range(left + 1, size + 1)
        ),
        default=0.0,
    )
    assert worst <= miss_chance(found, drawn=drawn, left=left, size=size) + 1e-9


@given(draws(), st.sampled_from([0.01, 0.1, 0.3]))
def test_the_most_that_may_be_found_is_the_last_that_is_believed(case: tuple[int, int, int, int], delta: float) -> None:
    size, drawn, left, _ = case
    allowed = allowed_found(drawn=drawn, left=left, size=size, delta=delta)
    if size - drawn <= left:
        assert allowed == drawn
        return
    believed = [found for found in range(drawn + 1) if miss_chance(found, drawn=drawn, left=left, size=size) <= delta]
    assert allowed == (max(believed) if believed else None)


@given(draws(), st.sampled_from([0.01, 0.1, 0.3]))
def test_no_fewer_than_the_fewest_are_enough(case: tuple[int, int, int, int], delta: float) -> None:
    size, found, left, _ = case
    drawn = fewest_drawn(found=found, left=left, size=size, delta=delta)
    chances = [miss_chance(found, drawn=one, left=left, size=size) for one in range(size + 1)]
    if size <= left:
        assert drawn == 0
    else:
        assert drawn == next((one for one, chance in enumerate(chances) if chance <= delta), None)


@given(draws(), st.sampled_from([0.05, 0.1, 0.3]))
def test_either_bound_is_wrong_no_more_often_than_delta(case: tuple[int, int, int, int], delta: float) -> None:
    size, drawn, bad, _ = case
    above = below = 0.0
    for found in range(max(0, drawn + bad - size), min(drawn, bad) + 1):
        chance = comb(bad, found) * comb(size - bad, drawn - found) / comb(size, drawn)
        above += chance * (bad - found > most_left(found=found, drawn=drawn, size=size, delta=delta))
        below += chance * (bad < fewest_bad(found=found, drawn=drawn, size=size, delta=delta))
    assert above <= delta + 1e-9
    assert below <= delta + 1e-9


def test_a_million_items_are_bounded_as_exactly_as_a_few() -> None:
    drawn = fewest_drawn(found=200, left=50_000, size=1_000_000, delta=0.1)
    assert drawn == 4360
    assert allowed_found(drawn=drawn, left=50_000, size=1_000_000, delta=0.1) == 200
    assert allowed_found(drawn=drawn - 1, left=50_000, size=1_000_000, delta=0.1) == 199


def test_the_worked_series_is_right() -> None:
    assert allowed_found(drawn=250, left=100, size=2000, delta=0.1) == 9
    assert miss_chance(9, drawn=250, left=100, size=2000) == pytest.approx(0.0994, abs=1e-4)


def test_what_is_no_count_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and size"):
        hypergeometric_tail(0, drawn=3, bad=1, size=2)
    with pytest.raises(ValueError, match="rate"):
        binomial_tail(0, drawn=3, rate=1.5)
    with pytest.raises(ValueError, match="ascend"):
        most_left(found=3, drawn=2, size=5, delta=0.1)


def test_counting_by_hand_agrees_on_a_set_small_enough_to_list() -> None:
    lists = list(combinations(range(8), 3))
    at_most_one = sum(sum(item < 4 for item in drawn) <= 1 for drawn in lists)
    assert hypergeometric_tail(1, drawn=3, bad=4, size=8) == pytest.approx(at_most_one / len(lists))
