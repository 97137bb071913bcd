"""Evaluate: the answers of every tier to the same labelled texts, and what the cascade would have made of them.

Each tier answers everything once; the cascade is then worked out from these answers, at the job's thresholds and at any
others. Nothing is stored and nobody is asked here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.curves import Floats
from pipeline.domain.metrics import Truths


@dataclass(frozen=True, slots=True, kw_only=True)
class TierAnswers:
    """What one tier said to all texts of a step."""

    tier: str
    values: Sequence[Any]
    """As JSON has them; None where there is no answer."""
    usable: Truths
    """Whether the answer could stand, were it sure enough: well-formed, and it passes the step's checks."""
    chances: Floats
    """Confidence of each; NaN where it is not known."""
    right: Truths
    as_top: Truths
    """Whether it says what the last tier of the ladder says."""
    threshold: float | None
    """From which confidence on the job believes it; None: whatever it is."""
    seconds: float
    """For all texts."""
    usd: Decimal | None
    """For all texts; None: its price is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAnswers:
    """A step's texts, and what each tier of its ladder said, cheapest first."""

    step: str
    keys: Sequence[str]
    gold: Sequence[Any]
    slices: Mapping[str, Truths]
    """Name → which texts belong to it."""
    tiers: Sequence[TierAnswers]

    def judged(self, right: Truths, answered: Truths) -> Truths:
        """Return which texts came out right: a text that no label fits (gold None) does where it has no answer."""
        none = np.array([one is None for one in self.gold], dtype=np.bool_)
        return np.asarray(np.where(answered, right, none), dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of answering a step's texts: a tier alone, or a cascade."""

    name: str
    values: Sequence[Any]
    right: Truths
    """An unresolved text is not right, unless no label fits it."""
    answered: Truths
    chances: Floats
    """Confidence of the answer that stands; NaN where it is not known."""
    tiers: NDArray[np.int64]
    """Number, on the ladder, of the tier whose answer stands; -1 where none does."""
    seconds_per_item: float
    usd_per_item: float | None


def alone(step: StepAnswers, number: int) -> Way:
    """Return what a tier would do by itself, with every usable answer standing."""
    tier = step.tiers[number]
    items = len(step.gold)
    return Way(
        name=tier.tier,
        values=[value if usable else None for value, usable in zip(tier.values, tier.usable, strict=True)],
        right=step.judged(tier.right, tier.usable),
        answered=tier.usable,
        chances=tier.chances,
        tiers=np.where(tier.usable, number, -1),
        seconds_per_item=tier.seconds / items,
        usd_per_item=None if tier.usd is None else float(tier.usd) / items,
    )


def cascade(
    step: StepAnswers, thresholds: Sequence[float | None], *, rungs: Sequence[int] | None = None, name: str = "cascade"
) -> Way:
    """Return what the ladder (or some rungs of it) would do with these least confidences, one for each rung.

    A text costs what every tier that reads it costs on average.
    """
    ladder = list(range(len(step.tiers))) if rungs is None else list(rungs)
    items = len(step.gold)
    taken = np.full(items, -1, dtype=np.int64)
    waiting = np.ones(items, dtype=np.bool_)
    seconds, usd = 0.0, 0.0
    known = all(step.tiers[number].usd is not None for number in ladder)
    for number, threshold in zip(ladder, thresholds, strict=True):
        tier = step.tiers[number]
        share = float(waiting.mean()) if items else 0.0
        seconds += share * tier.seconds
        usd += share * float(tier.usd or 0)
        stands = waiting & tier.usable & _sure(tier, threshold)
        taken[stands] = number
        waiting &= ~stands
    rows = np.arange(items)
    right = np.stack([tier.right for tier in step.tiers], axis=1)
    chances = np.stack([tier.chances for tier in step.tiers], axis=1)
    values = [step.tiers[number].values[row] if number >= 0 else None for row, number in enumerate(taken.tolist())]
    return Way(
        name=name,
        values=values,
        right=step.judged(right[rows, taken], taken >= 0),
        answered=taken >= 0,
        chances=np.where(taken >= 0, chances[rows, taken], np.nan),
        tiers=taken,
        seconds_per_item=seconds / items,
        usd_per_item=usd / items if known else None,
    )


def job_thresholds(step: StepAnswers) -> list[float | None]:
    """Return the job's thresholds along the ladder."""
    return [tier.threshold for tier in step.tiers]


def frontier(step: StepAnswers, points: int = 40) -> list[tuple[float, Way]]:
    """Return cascades with one threshold for all tiers below the top, from accepting nothing to accepting all."""
    lower = [tier.chances[~np.isnan(tier.chances)] for tier in step.tiers[:-1]]
    seen = np.concatenate(lower) if lower else np.empty(0)
    if not len(seen):
        return []
    grid = np.unique(np.concatenate([[1.01], np.quantile(seen, np.linspace(1, 0, points))]))[::-1]
    top = step.tiers[-1].threshold
    return [
        (float(least), cascade(step, [float(least)] * (len(step.tiers) - 1) + [top], name=f"{least:.3f}"))
        for least in grid
    ]


def at_target(step: StepAnswers, target: float) -> tuple[float, Way]:
    """Return the loosest common threshold at which this sample's answers agree with the top tier's often enough.

    That is hindsight: what a certificate would allow at best. Nothing is accepted below the top where none does.
    """
    agree = np.stack([tier.as_top for tier in step.tiers], axis=1)
    rows = np.arange(len(step.gold))
    good = [
        (least, way)
        for least, way in frontier(step, points=200)
        if float(np.mean(agree[rows, way.tiers] | (way.tiers < 0))) >= target
    ]
    if good:
        return good[-1]
    return 1.01, cascade(step, [1.01] * (len(step.tiers) - 1) + [step.tiers[-1].threshold])


def without_top(step: StepAnswers) -> Way:
    """Return what the ladder would do if its last tier were not there: the one below accepts all that is usable."""
    lower = list(range(len(step.tiers) - 1))
    thresholds: list[float | None] = [step.tiers[number].threshold for number in lower[:-1]]
    return cascade(step, [*thresholds, None], rungs=lower, name=f"without {step.tiers[-1].tier}")


def hardest(step: StepAnswers) -> Truths:
    """Return the fifth of the texts that the first tier is least sure of; those it cannot answer come first."""
    first = step.tiers[0]
    chances = np.where(first.usable, np.nan_to_num(first.chances, nan=0.0), -1.0)
    order = np.argsort(chances, kind="stable")
    hard = np.zeros(len(order), dtype=np.bool_)
    hard[order[: max(1, len(order) // 5)]] = True
    return hard


def _sure(tier: TierAnswers, threshold: float | None) -> Truths:
    if threshold is None:
        return np.ones(len(tier.usable), dtype=np.bool_)
    return np.asarray(np.nan_to_num(tier.chances, nan=-1.0) >= threshold, dtype=np.bool_)
