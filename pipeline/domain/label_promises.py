"""Promises about single labels: of what the reference calls fraud, .98 are called fraud; and the other way round.

A label's *recall* loses an item that the reference gives it and whose accepted answer is another; its *precision* an
accepted answer of that label to which the reference gives another. Both are decided on the items drawn for the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.bounds import allowed_found, fewest_bad
from pipeline.domain.sequence import Counted, believed, draws_needed, last_passed

What: TypeAlias = Literal["recall", "precision"]
_SPARED = 0.8
"""How many of the expected items of a label are counted on when it is decided how many to draw."""
_EXPECTED = 1
"""How many lost items among the drawn there should be room for."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPromise:
    """One thing that is promised of one label."""

    label: str
    what: What
    target: float
    delta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelKept:
    """What was found of it among the drawn items, at the loosest thresholds that keep it."""

    label: str
    what: What
    target: float
    step: int
    """Of the path; 0 accepts nothing."""
    seen: int
    """Drawn items that speak of it: those that the reference gives the label, or whose answer it is."""
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The answers of a region, each held by one tier; arrays (items,), the drawn ones first."""

    accepted_from: NDArray[np.int64]
    """The first step at which an answer is accepted."""
    labels: NDArray[np.object_]
    references: Sequence[object]
    """Of the drawn: what the reference says."""


def draws_for(promise: LabelPromise, labels: NDArray[np.object_]) -> int | None:
    """Return how many of a region must be drawn for a promise to have a chance; None where no number is enough.

    `labels` (items,) are the cheap tiers' answers in the region: all that is known before anything is drawn.
    """
    named, size = int(np.count_nonzero(labels == promise.label)), len(labels)
    among = named if promise.what == "precision" else size - named
    budget = floor((1.0 - promise.target) * named * (_SPARED if promise.what == "recall" else 1.0) + _ROUNDING)
    delta = promise.delta if promise.what == "precision" else promise.delta / 2
    needed = draws_needed(found=_EXPECTED, budget=budget, size=among, delta=delta)
    return None if needed is None else min(size, round(needed * size / max(among, 1)) + 1)


def kept(promise: LabelPromise, answered: Answered, *, last: int) -> LabelKept:
    """Return the last step at which a promise is shown to be kept, and what was found there."""
    if promise.what == "precision":
        return _precise(promise, answered, last)
    return _recalled(promise, answered, last)


def _precise(promise: LabelPromise, answered: Answered, last: int) -> LabelKept:
    named = answered.labels == promise.label
    drawn = np.arange(len(named)) < len(answered.references)
    other = np.array([reference != promise.label for reference in answered.references], dtype=np.bool_)
    lost = np.zeros(len(named), dtype=np.bool_)
    lost[: len(other)] = other
    sizes = _by_step(answered.accepted_from[named], last)
    counted = Counted(
        sizes=sizes,
        drawn=_by_step(answered.accepted_from[named & drawn], last),
        lost=_by_step(answered.accepted_from[named & lost], last),
        budgets=np.floor((1.0 - promise.target) * sizes + _ROUNDING).astype(np.int64),
    )
    # Where the walk begins is fixed by what is expected of the drawing, not by what was drawn.
    rate = _SPARED * len(answered.references) / max(int(np.count_nonzero(answered.accepted_from <= last)), 1)
    first = next((step for step in range(last + 1) if _could_begin(counted, step, rate, promise.delta)), None)
    step = 0 if first is None else last_passed(counted, first=first, last=last, delta=promise.delta) or 0
    return _told(promise, step, int(counted.drawn[step]), int(counted.lost[step]))


def _could_begin(counted: Counted, step: int, rate: float, delta: float) -> bool:
    size, budget = int(counted.sizes[step]), int(counted.budgets[step])
    return size > 0 and believed(0, drawn=floor(rate * size), budget=budget, size=size, delta=delta)


def _recalled(promise: LabelPromise, answered: Answered, last: int) -> LabelKept:
    """Half of delta is for how many items have the label, half for how many of them are lost among other answers."""
    right = np.array([reference == promise.label for reference in answered.references], dtype=np.bool_)
    within = answered.accepted_from <= last
    drawn = int(np.count_nonzero(within[: len(right)]))
    have = int(np.count_nonzero(right & within[: len(right)]))
    at_least = fewest_bad(found=have, drawn=drawn, size=int(within.sum()), delta=promise.delta / 2)
    budget = floor((1.0 - promise.target) * at_least + _ROUNDING)
    others = within & (answered.labels != promise.label)
    drawn_others = others[: len(right)]
    allowed = allowed_found(drawn=int(drawn_others.sum()), left=budget, size=int(others.sum()), delta=promise.delta / 2)
    missed = np.sort(answered.accepted_from[: len(right)][right & drawn_others])
    step = 0 if allowed is None else last
    if allowed is not None and len(missed) > allowed:
        step = int(missed[allowed]) - 1
    return _told(promise, step, have, int(np.searchsorted(missed, step, side="right")))


def _told(promise: LabelPromise, step: int, seen: int, lost: int) -> LabelKept:
    return LabelKept(label=promise.label, what=promise.what, target=promise.target, step=step, seen=seen, lost=lost)


def _by_step(accepted_from: NDArray[np.int64], last: int) -> NDArray[np.int64]:
    """Count the items accepted at each step up to the last."""
    return np.cumsum(np.bincount(accepted_from[accepted_from <= last], minlength=last + 1)).astype(np.int64)
