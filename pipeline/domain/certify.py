"""Thresholds with a promise: a run agrees with the reference on a target share of its items, but for a chance of delta.

A Path of thresholds, from strict to loose, is fixed from confidences alone. Its loosest step accepts the region; of
that, items are drawn uniformly and shown to the reference. Walking the path from strict to loose, one stops before the
step at which more of the drawn items are lost than the bound allows: a fixed sequence of tests needs no correction
(Angelopoulos, Bates, Candès, Jordan and Lei, "Learn then test", 2021). What is particular here: drawn items take the
reference's answer, so the promise is about those not drawn, and the bound is exact for a finite run (see `bounds`).

An item is lost at a step when a cheap tier's answer is taken and differs from the reference's. It counts as lost from
then on, also when a looser step would take another tier's answer that agrees: so losses only grow along a path, and
one test covers all its steps. For, let the path run until one more is left than may be: at that moment no more may have
been found than are allowed, and the chance of that is `bounds.miss_chance` at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor, inf

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.bounds import fewest_bad, miss_chance, most_left
from pipeline.domain.label_promises import LabelKept

MOST_STEPS = 2000
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What is promised of a run."""

    target: float
    """Least share of items whose answer is the reference's; in (0, 1)."""
    delta: float
    """The most that the chance of breaking it may be; in (0, 1)."""

    def __post_init__(self) -> None:
        """Refuse what is no promise."""
        if not (0.0 < self.target < 1.0 and 0.0 < self.delta < 1.0):
            raise ValueError("target and delta must lie between 0 and 1")

    def budget(self, items: int) -> int:
        """Return how many of `items` may differ from the reference."""
        return floor((1.0 - self.target) * items + _ROUNDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Thresholds from strict to loose: step → cheap tier → least confidence accepted. Step 0 accepts nothing."""

    thresholds: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        """Refuse a path that does not begin with nothing, or tightens on its way."""
        if not self.thresholds or any(threshold != inf for threshold in self.thresholds[0]):
            raise ValueError("a path begins with infinite thresholds: nothing accepted")
        for strict, loose in zip(self.thresholds, self.thresholds[1:], strict=False):
            if len(strict) != len(loose) or not all(b <= a for a, b in zip(strict, loose, strict=True)):
                raise ValueError("thresholds must not rise along a path")

    @property
    def tiers(self) -> int:
        """How many cheap tiers it has."""
        return len(self.thresholds[0])

    def entries(self, confidences: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return, for confidences (items, tiers), the first step at which each tier's answer would do; same shape.

        `len(thresholds)` where it never does, as for NaN, which stands for an answer that must not be taken.
        """
        if confidences.ndim != len("it") or confidences.shape[1] != self.tiers:
            raise ValueError("confidences must be (items, tiers)")
        steps = np.array(self.thresholds)
        found = [np.searchsorted(-steps[:, tier], -confidences[:, tier], side="left") for tier in range(self.tiers)]
        entries = np.stack(found, axis=1).astype(np.int64)
        return np.where(np.isnan(confidences), len(steps), entries)


def common_path(confidences: NDArray[np.float64]) -> Path:
    """Return the path that asks one calibrated confidence of every tier, ever lower; confidences (items, tiers).

    One step for each value that occurs, so that equal ones come together, or for MOST_STEPS quantiles of them.
    """
    values = np.unique(confidences[~np.isnan(confidences)])[::-1]
    if len(values) > MOST_STEPS:
        best = np.sort(np.fmax.reduce(confidences, axis=1))
        best = best[~np.isnan(best)]
        values = np.unique(best[np.linspace(0, len(best) - 1, MOST_STEPS).astype(int)])[::-1]
    tiers = confidences.shape[1]
    return Path(thresholds=((inf,) * tiers, *((float(value),) * tiers for value in values)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How many items are drawn, and from what: fixed before any of them is shown to the reference."""

    last: int
    """The loosest step that may be chosen: what it accepts is the region."""
    region: int
    """Items in the region; the others go up in any case."""
    drawn: int
    """Items to be drawn from it, uniformly, without replacement."""
    allowed: int
    """How many of these may be lost."""
    expected_avoided: float
    """Share of the run's items that is expected to be spared the reference."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not (self.last >= 0 and 0 <= self.drawn <= self.region and self.allowed >= 0):
            raise ValueError("drawn must lie between 0 and the region")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Thresholds that keep the promise, and what shows it."""

    promise: Promise
    items: int
    region: int
    drawn: int
    lost: int
    """Drawn items lost at the chosen thresholds."""
    step: int
    thresholds: tuple[float, ...]
    """Cheap tier → least confidence accepted."""
    goes_up: float
    """Share of items answered by the reference, drawn ones included."""
    left_at_most: float
    """Bound on the share of items that are lost and not drawn; no more than 1 - target."""
    labels: tuple[LabelKept, ...] = ()
    """What is promised of single labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """No thresholds that accept anything could be shown to keep the promise."""

    promise: Promise
    items: int
    drawn: int
    lost: int
    """Drawn items lost at the loosest step."""
    best_target: float
    """What could be promised at this delta with the whole region accepted."""
    must_go_up: float
    """At least this share of the items must go up for the target to be kept, at this delta."""
    labels: tuple[LabelKept, ...] = ()
    """What is asked of single labels, and how far each could be kept."""


def lost_from(entries: NDArray[np.int64], wrong: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the first step at which each item is lost; entries and wrong (items, tiers), a large number for never.

    A tier's answer is taken from its own entry until a cheaper tier's: it counts if there is a step between.
    """
    never = np.iinfo(np.int64).max
    lost = np.full(len(entries), never)
    cheaper = np.full(len(entries), never)
    for tier in range(entries.shape[1]):
        taken = entries[:, tier] < cheaper
        lost = np.where(taken & wrong[:, tier], np.minimum(lost, entries[:, tier]), lost)
        cheaper = np.minimum(cheaper, entries[:, tier])
    return lost


def certify(
    promise: Promise,
    path: Path,
    drawing: Drawing,
    entries: NDArray[np.int64],
    drawn: Sequence[int],
    lost: NDArray[np.int64],
    labels: tuple[LabelKept, ...] = (),
) -> Certificate | Refusal:
    """Walk the path as far as the drawn items allow, and no further than each of the `labels` does.

    `entries` (items, tiers) are those of the whole run; `drawn` are the numbers of the items drawn from the region and
    `lost` (drawn,) the steps from which these are lost. ValueError where they are not what `drawing` says, or where
    it allows more than the bound does.
    """
    accepted_from = entries.min(axis=1)
    budget = promise.budget(len(entries))
    _check(promise, drawing, accepted_from, np.asarray(drawn, dtype=np.int64), budget)
    within = np.sort(lost[lost <= drawing.last])
    step = drawing.last if len(within) <= drawing.allowed else int(within[drawing.allowed]) - 1
    step = min(step, *(one.step for one in labels)) if labels else step
    if not np.any(accepted_from <= step):
        return replace(_refusal(promise, drawing, len(entries), len(within), budget), labels=labels)
    kept = int(np.count_nonzero(accepted_from <= step)) - int(np.count_nonzero(accepted_from[list(drawn)] <= step))
    found = int(np.searchsorted(within, step, side="right"))
    bound = most_left(found=drawing.allowed, drawn=drawing.drawn, size=drawing.region, delta=promise.delta)
    return Certificate(
        promise=promise,
        items=len(entries),
        region=drawing.region,
        drawn=drawing.drawn,
        lost=found,
        step=step,
        thresholds=path.thresholds[step],
        goes_up=1.0 - kept / len(entries),
        left_at_most=min(bound, kept) / len(entries),
        labels=labels,
    )


def _check(
    promise: Promise, drawing: Drawing, accepted_from: NDArray[np.int64], drawn: NDArray[np.int64], budget: int
) -> None:
    if np.count_nonzero(accepted_from <= drawing.last) != drawing.region:
        raise ValueError("the region is not what its last step accepts")
    if len(np.unique(drawn)) != drawing.drawn or np.any(accepted_from[drawn] > drawing.last):
        raise ValueError("the drawn items are not those of the drawing")
    if drawing.region - drawing.drawn <= budget:
        return
    chance = miss_chance(drawing.allowed, drawn=drawing.drawn, left=budget, size=drawing.region)
    if chance > promise.delta:
        raise ValueError("the drawing allows more than the bound does")


def _refusal(promise: Promise, drawing: Drawing, items: int, lost: int, budget: int) -> Refusal:
    delta = promise.delta
    left = most_left(found=lost, drawn=drawing.drawn, size=drawing.region, delta=delta)
    bad = fewest_bad(found=lost, drawn=drawing.drawn, size=drawing.region, delta=delta)
    return Refusal(
        promise=promise,
        items=items,
        drawn=drawing.drawn,
        lost=lost,
        best_target=1.0 - left / items,
        must_go_up=max(0, bad - budget) / items,
    )
