"""A random sample of a stream that is read once, and how sure its mean is. Random generators are passed in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

CONFIDENCE = 0.9
_RESAMPLES = 4000
_CELLS = 2_000_000
"""Numbers drawn at once: keeps memory flat."""
_SAME = 1e-12
"""Means of the same values added up in another order differ by less."""
_NORMAL = NormalDist()
_FIVE_PERCENT = 0.05


@dataclass(kw_only=True)
class Reservoir(Generic[T]):
    """Keeps `size` of all that is offered, each equally likely (Vitter's algorithm R, 1985)."""

    size: int
    below: Callable[[int], int]
    """Draws a number from 0 up to, not including, another."""
    offered: int = 0
    kept: list[T] = field(default_factory=list)

    def offer(self, one: T) -> None:
        """Keep it, perhaps in the place of another."""
        self.offered += 1
        if len(self.kept) < self.size:
            self.kept.append(one)
        elif (place := self.below(self.offered)) < self.size:
            self.kept[place] = one


def mean_interval(
    values: Sequence[float], rng: np.random.Generator, *, of: int | None = None, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Return between which numbers the mean of all lies, by the mean of a sample; None for fewer than two values.

    Bias-corrected and accelerated bootstrap (Efron, "Better bootstrap confidence intervals", JASA 1987), which is in
    its place for skewed costs. Where the sample is of a finite number `of`, the interval is narrower by what is known
    already: it is a point where all were asked.
    """
    seen = np.asarray(values, dtype=np.float64)
    if len(seen) < len("it"):
        return None
    mean, spread = float(seen.mean()), float(np.ptp(seen))
    if spread == 0.0:
        return mean, mean
    unit = (seen - mean) / spread
    means = _resampled(unit, rng)
    below = float(np.mean(means < -_SAME) + np.mean(np.abs(means) <= _SAME) / 2)
    bias = _NORMAL.inv_cdf(min(max(below, 1.0 / _RESAMPLES), 1.0 - 1.0 / _RESAMPLES))
    skew = float(np.sum(unit**3) / (6.0 * np.sum(unit**2) ** 1.5))
    ends = []
    for share in ((1.0 - confidence) / 2, (1.0 + confidence) / 2):
        z = bias + _NORMAL.inv_cdf(share)
        ends.append(float(np.quantile(means, _NORMAL.cdf(bias + z / (1.0 - skew * z)))))
    left = 1.0 if of is None else max(0.0, 1.0 - len(seen) / max(of, 1)) ** 0.5
    low, high = min(ends[0], 0.0) * left * spread, max(ends[1], 0.0) * left * spread
    return mean + low, mean + high


def _resampled(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the means of samples of the sample."""
    at_once = max(1, _CELLS // len(values))
    parts = []
    for begun in range(0, _RESAMPLES, at_once):
        shape = (min(at_once, _RESAMPLES - begun), len(values))
        parts.append(values[rng.integers(0, len(values), shape)].mean(axis=1))
    return np.concatenate(parts)


def most_unseen(sample: int) -> float:
    """Return the share of all that may be what a sample has none of, with 5 % to be wrong: 1.5 % of 200."""
    return float(1.0 - _FIVE_PERCENT ** (1.0 / max(sample, 1)))
