"""How many items to draw for a certificate, decided before a label is seen: from confidences and the promise alone.

More drawn, or more of them allowed to be lost, brings the thresholds nearer to the loosest ones that keep the promise;
but each drawn item that would have been accepted costs a call of the reference. An item outside the region goes up
anyway. The rule simulates nothing: drawn losses up to a step are taken for Poisson, with the mean that the confidences
say, a few times more and less than that, so that a poor calibration costs little. It costs *calls* only: the promise
holds whatever the confidences are worth.
"""

from math import lgamma

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.bounds import fewest_drawn
from pipeline.domain.certify import Drawing, Promise

_REGIONS = (1.0, 1.2, 1.4, 1.7, 2.2)
"""Regions that are tried: up to where the confidences expect this many times the budget of losses; and everything."""
_CALIBRATIONS = ((0.75, 0.25), (1.0, 0.5), (1.3, 0.25))
"""How many times the expected losses there may be, and how much weight that has."""
_EXACT_UP_TO = 60


def cautious_doubts(confidences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the chance that an answer is wrong where nobody calibrated the confidences (items,).

    Half what they say, half what small models are usually like: from never wrong where they are surest to wrong every
    other time where they are least sure. Models that are always sure would have too few items drawn otherwise.
    """
    ascending = np.sort(confidences)
    at_least_as_sure = 1.0 - np.searchsorted(ascending, confidences, side="left") / max(len(confidences), 1)
    return np.asarray((1.0 - confidences + at_least_as_sure / 2) / 2, dtype=np.float64)


def choose_drawing(
    promise: Promise, entries: NDArray[np.int64], doubts: NDArray[np.float64], *, steps: int
) -> Drawing | None:
    """Return the drawing that is expected to spare the reference most; None when none is expected to spare anything.

    `entries` (items,) is the first of the path's `steps` at which an item is accepted, `doubts` (items,) the chance
    that it is lost then (one minus a calibrated confidence). Items that no step accepts have an entry of `steps` or
    more and count only towards the size of the run.
    """
    if entries.shape != doubts.shape or np.any((doubts < 0.0) | (doubts > 1.0)):
        raise ValueError("each item needs an entry and a doubt in [0, 1]")
    within = entries < steps
    if not within.any():
        return None
    sizes: NDArray[np.int64] = np.bincount(entries[within], minlength=steps).astype(np.int64)
    lost = np.bincount(entries[within], weights=doubts[within], minlength=steps)
    losses: NDArray[np.float64] = np.cumsum(lost).astype(np.float64)
    budget = promise.budget(len(entries))
    best: Drawing | None = None
    for last in _last_steps(losses, budget):
        for drawing in _drawings(promise, len(entries), last, sizes, losses):
            if best is None or drawing.expected_avoided > best.expected_avoided:
                best = drawing
    return best if best is not None and best.expected_avoided > 0.0 else None


def _last_steps(losses: NDArray[np.float64], budget: int) -> list[int]:
    ends = [int(np.searchsorted(losses, budget * times, side="right")) for times in _REGIONS]
    return sorted({min(max(end, 1), len(losses) - 1) for end in (*ends, len(losses) - 1)})


def _drawings(
    promise: Promise, items: int, last: int, sizes: NDArray[np.int64], losses: NDArray[np.float64]
) -> list[Drawing]:
    region, budget = int(sizes[: last + 1].sum()), promise.budget(items)
    drawings = []
    allowed = 0
    while (drawn := fewest_drawn(found=allowed, left=budget, size=region, delta=promise.delta)) is not None:
        rate = drawn / region if region else 1.0
        kept = (1.0 - rate) * _expected_accepted(allowed, rate, sizes[: last + 1], losses[: last + 1])
        drawings.append(Drawing(last=last, region=region, drawn=drawn, allowed=allowed, expected_avoided=kept / items))
        exhausted = drawn + budget >= region  # all that may be left is left: no more need be found
        if exhausted or kept < max(one.expected_avoided for one in drawings) * items * 0.9:
            break
        allowed += max(1, allowed // 10)
    return drawings


def _expected_accepted(allowed: int, rate: float, sizes: NDArray[np.int64], losses: NDArray[np.float64]) -> float:
    return float(
        sum(weight * (sizes * _at_most(allowed, rate * times * losses)).sum() for times, weight in _CALIBRATIONS)
    )


def _at_most(count: int, means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Poisson chance of at most `count`; for many, by Wilson and Hilferty's cube root (1931)."""
    means = np.maximum(means, 1e-12)
    if count <= _EXACT_UP_TO:
        logs = np.log(means)
        total = sum(np.exp(one * logs - means - lgamma(one + 1)) for one in range(count + 1))
        return np.minimum(np.asarray(total, dtype=np.float64), 1.0)
    shape = count + 1.0
    deviations = 3.0 * np.sqrt(shape) * (np.cbrt(means / shape) - 1.0 + 1.0 / (9.0 * shape))
    deviations = np.clip(deviations, -8.0, 8.0)
    return np.asarray(1.0 / (1.0 + np.exp(1.5976 * deviations + 0.07056 * deviations**3)))
