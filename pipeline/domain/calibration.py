"""From RawScore to Confidence, and how far scores are from being true. Only the identity is there so far.

Worked series, two bins: scores .5 .6 .8 .9 of answers that were wrong, right, right, right. The less sure half has a
mean of .55 and .5 are right, the other .85 and all are right: the error is 2/4 · .05 + 2/4 · .15 = .10.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.scores import Confidence, RawScore


class Calibrator(Protocol):
    """Turns a raw score of one (step, tier) into a confidence."""

    def __call__(self, raw: RawScore) -> Confidence:
        """Return the confidence; monotone in `raw`."""
        ...


def uncalibrated(raw: RawScore) -> Confidence:
    """Keep the number and mark it uncalibrated, so that it is shown as such everywhere."""
    return Confidence(raw.value, calibrated=False)


def calibration_error(scores: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> float | None:
    """Return the expected calibration error (ECE) over bins of equally many answers; None without answers.

    The mean distance between how sure a bin's answers are and how many of them are right (Nguyen and O'Connor 2015,
    "Posterior calibration and exploratory analysis for natural language processing models"). Fewer answers than bins
    are a bin each. Equal scores keep their order.
    """
    if not scores:
        return None
    order = np.argsort(np.asarray(scores, dtype=np.float64), kind="stable")
    ranked = np.asarray(scores, dtype=np.float64)[order]
    return _binned_error(ranked, np.asarray(right, dtype=np.float64)[order], bins)


def excess_calibration_error(
    scores: Sequence[float], right: Sequence[bool], chance: np.random.Generator, *, bins: int = 10, rounds: int = 200
) -> float | None:
    """Return by how much calibration_error exceeds that of such scores, were they true; None without answers.

    So few answers never come out exactly as often right as they are sure: what that alone comes to is simulated, each
    answer being right with the probability of its score. About 0, and below as often as above, for calibrated scores.
    """
    found = calibration_error(scores, right, bins=bins)
    if found is None:
        return None
    ranked = np.sort(np.asarray(scores, dtype=np.float64))
    simulated = [
        _binned_error(ranked, (chance.random(len(ranked)) < ranked).astype(np.float64), bins) for _ in range(rounds)
    ]
    return found - float(np.mean(simulated))


def _binned_error(ranked: NDArray[np.float64], right: NDArray[np.float64], bins: int) -> float:
    """Return the error of scores that ascend."""
    starts = np.arange(min(bins, len(ranked))) * len(ranked) // min(bins, len(ranked))
    gaps = np.add.reduceat(ranked, starts) - np.add.reduceat(right, starts)
    return float(np.abs(gaps).sum() / len(ranked))
