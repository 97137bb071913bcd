"""A fixed sequence of tests: wrong steps are chosen no more often than delta, whatever losses do along the path."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.sequence import Counted, believed, draws_needed, last_passed

ITEMS = 9


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS), min_size=1, max_size=4),
    st.integers(2, 6),
    st.integers(0, 4),
    st.sampled_from([0.1, 0.3, 0.5]),
)
def test_over_all_draws_a_step_with_too_many_lost_is_chosen_no_more_often_than_delta(
    lost: list[list[bool]], drawn: int, budget: int, delta: float
) -> None:
    table = np.array(lost)
    steps = len(table)
    cases = list(combinations(range(ITEMS), drawn))
    broken = 0
    for case in cases:
        counted = Counted(
            sizes=np.full(steps, ITEMS),
            drawn=np.full(steps, drawn),
            lost=table[:, list(case)].sum(axis=1),
            budgets=np.full(steps, budget),
        )
        step = last_passed(counted, first=0, last=steps - 1, delta=delta)
        broken += step is not None and table[step].sum() > budget
    assert broken <= delta * len(cases) + 1e-9


def test_the_walk_ends_before_the_first_step_that_fails_though_a_later_one_would_pass() -> None:
    counted = Counted(
        sizes=np.full(4, 1000), drawn=np.full(4, 100), lost=np.array([0, 1, 30, 0]), budgets=np.full(4, 100)
    )
    assert last_passed(counted, first=0, last=3, delta=0.1) == 1
    assert last_passed(counted, first=2, last=3, delta=0.1) is None
    assert last_passed(counted, first=3, last=3, delta=0.1) == 3


def test_what_cannot_be_more_than_the_budget_needs_no_draws() -> None:
    assert believed(0, drawn=0, budget=5, size=5, delta=0.1)
    assert draws_needed(found=0, budget=5, size=5, delta=0.1) == 0


@pytest.mark.parametrize("found", [0, 1, 4])
def test_as_many_draws_as_are_needed_are_enough_and_one_fewer_is_not(found: int) -> None:
    needed = draws_needed(found=found, budget=50, size=1000, delta=0.1)
    assert needed is not None
    assert believed(found, drawn=needed, budget=50, size=1000, delta=0.1)
    assert not believed(found, drawn=needed - 1, budget=50, size=1000, delta=0.1)


def test_more_lost_than_the_budget_are_never_believed() -> None:
    assert draws_needed(found=6, budget=5, size=100, delta=0.1) is None
