"""Numbers about answers whose truth is known. Shares are between 0 and 1; None stands where there is nothing to count.

Worked: gold a a b b, answers a b b b. Precision and recall of a are 1/1 and 1/2 (F1 2/3), of b 2/3 and 2/2 (F1 4/5):
macro-F1 is their mean, .733, and accuracy 3/4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.curves import Floats

Truths = NDArray[np.bool_]
_ROUNDS = 2000
_TAILS = (2.5, 97.5)


def macro_f1(answers: Sequence[str | None], gold: Sequence[str | None]) -> float | None:
    """Return the mean F1 over all labels of the gold answers; None without any."""
    labels = list(dict.fromkeys(gold))
    if not labels:
        return None
    scores = []
    for label in labels:
        said = sum(one == label for one in answers)
        true = sum(one == label for one in gold)
        both = sum(one == label == other for one, other in zip(answers, gold, strict=True))
        scores.append(2 * both / (said + true))
    return float(np.mean(scores))


def field_f1(
    answers: Sequence[Mapping[str, object] | None],
    gold: Sequence[Mapping[str, object]],
    matches: Sequence[Mapping[str, bool]],
) -> float | None:
    """Return the F1 of the values of records, over all fields together; None where no value is there or was said.

    `matches` tells, for each answer and field, whether value and gold are the same.
    """
    said = sum(value is not None for one in answers for value in (one or {}).values())
    true = sum(value is not None for one in gold for value in one.values())
    both = sum(
        same and right.get(name) is not None
        for one, right in zip(matches, gold, strict=True)
        for name, same in one.items()
    )
    return None if said + true == 0 else 2 * both / (said + true)


def brier(chances: Floats, right: Truths) -> float | None:
    """Return the mean square of what was off: 0 is perfect, .25 a coin's; None without answers."""
    return float(np.mean(np.square(chances - right))) if len(right) else None


def risk_coverage(chances: Floats, right: Truths) -> Floats:
    """Return the share of wrong answers among the surest 1, 2, … of them (answers,); equal chances keep their order."""
    order = np.argsort(-chances, kind="stable")
    return np.asarray(np.cumsum(~right[order]) / np.arange(1, len(right) + 1), dtype=np.float64)


def area_under_risk(chances: Floats, right: Truths) -> float | None:
    """Return the mean of the risk-coverage curve, smaller is better; None without answers."""
    return float(risk_coverage(chances, right).mean()) if len(right) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference of two shares over the same items, with its 95 % interval."""

    change: float
    low: float
    high: float
    gained: int
    """Items that were wrong and are right."""
    lost: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0.0 or self.high < 0.0


def paired_difference(before: Truths, after: Truths, chance: np.random.Generator) -> Difference | None:
    """Compare two ways of answering the same items by a paired bootstrap; None without items.

    Items are drawn again with replacement 2,000 times; the interval is between the 2.5th and 97.5th percentile.
    """
    if not len(before):
        return None
    gained, lost = int(np.sum(after & ~before)), int(np.sum(before & ~after))
    # Only how many items were gained and lost changes from draw to draw: three counts stand for all items.
    same = len(before) - gained - lost
    drawn = chance.multinomial(len(before), np.array([gained, lost, same]) / len(before), size=_ROUNDS)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / len(before), _TAILS)
    return Difference(change=(gained - lost) / len(before), low=float(low), high=float(high), gained=gained, lost=lost)


def bins_of(chances: Floats, right: Truths, bins: int = 10) -> list[tuple[float, float, int]]:
    """Return (mean chance, share right, how many) of bins of equally many answers, from the least sure on."""
    order = np.argsort(chances, kind="stable")
    parts = np.array_split(order, min(bins, len(order))) if len(order) else []
    return [(float(chances[part].mean()), float(right[part].mean()), len(part)) for part in parts]
