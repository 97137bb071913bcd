"""A fixed sequence of tests: as far along a path as counted losses allow, at any number of steps for one delta.

The order is fixed before a label is seen and the walk ends before the first test that fails, so only the first wrong
step can be chosen by mistake, and that with a chance of delta at most (Maurer, Hothorn and Lehmacher 1995; used for
thresholds by Angelopoulos et al., "Learn then test", 2021). Losses need not grow along the path. Unlike in `certify`,
drawn items that are lost count, too: that keeps each step's hypothesis the same whatever is drawn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.bounds import hypergeometric_tail

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What is known at each step of a path; arrays (steps,)."""

    sizes: Counts
    """Items that could be lost."""
    drawn: Counts
    """Of these, how many were drawn, uniformly."""
    lost: Counts
    """Of the drawn, how many are lost."""
    budgets: Counts
    """How many of all may be lost."""

    def passes(self, step: int, delta: float) -> bool:
        """Whether more lost than the budget is refuted at this step."""
        size, budget = int(self.sizes[step]), int(self.budgets[step])
        if size <= budget:
            return True
        return believed(int(self.lost[step]), drawn=int(self.drawn[step]), budget=budget, size=size, delta=delta)


def believed(lost: int, *, drawn: int, budget: int, size: int, delta: float) -> bool:
    """Whether so few lost among the drawn refute, at delta, that more than `budget` of `size` are lost."""
    return size <= budget or hypergeometric_tail(lost, drawn=drawn, bad=budget + 1, size=size) <= delta


def last_passed(counted: Counted, *, first: int, last: int, delta: float) -> int | None:
    """Walk from `first` to `last` and return the last step before one fails; None where the first does."""
    passed: int | None = None
    looked: tuple[int, ...] | None = None
    for step in range(first, last + 1):
        now = tuple(
            int(one[step]) for one in (counted.sizes, counted.drawn, counted.lost, counted.budgets)
        )  # what has not changed passes again
        if now != looked and not counted.passes(step, delta):
            break
        passed, looked = step, now
    return passed


def draws_needed(*, found: int, budget: int, size: int, delta: float) -> int | None:
    """Return how many must be drawn for `found` lost ones to be believed; None where drawing all is too few."""
    if size <= budget:
        return 0
    low, high = 0, size
    if not believed(min(found, size), drawn=size, budget=budget, size=size, delta=delta):
        return None
    while low < high:
        middle = (low + high) // 2
        if believed(found, drawn=middle, budget=budget, size=size, delta=delta):
            high = middle
        else:
            low = middle + 1
    return low
