"""What a run will cost, by a sample of its items: values and sums. An unknown amount is None, never 0."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipeline.domain.budget import Budget
from pipeline.domain.pricing import Price
from pipeline.domain.sampling import CONFIDENCE

USUAL_CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TierEstimate:
    """What a tier will have to do."""

    tier: str
    asked: bool
    """False: its part is reckoned from lengths and listed prices."""
    items: int
    """How many of the run's go up to it; at the bottom all that it is asked."""
    calls: int
    usd: Decimal | None
    hours: float | None
    """Of one worker; None where nobody was asked."""
    at_least: bool
    """More may come from a tier below that was not asked."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {
            "tier": self.tier,
            "asked": self.asked,
            "items": self.items,
            "calls": self.calls,
            "usd": None if self.usd is None else float(self.usd),
            "hours": None if self.hours is None else round(self.hours, 6),
            "at_least": self.at_least,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PromiseEstimate:
    """What a step's target will take beyond what its thresholds send up."""

    step: str
    tier: str
    drawn: int
    """Asked of the last tier to certify the others."""
    more_items: int
    """All that go up for the promise, those drawn among them."""
    usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run will cost."""

    items: int
    """Different texts of the run."""
    sample: int
    usd: Decimal | None
    usd_low: Decimal | None
    usd_high: Decimal | None
    """Between these with a confidence of 90 %, as far as the sample tells. None: unknown."""
    at_least: bool
    tiers: tuple[TierEstimate, ...]
    promises: tuple[PromiseEstimate, ...]
    dearest_usd: Decimal | None
    """Of one item of the sample."""
    notes: tuple[str, ...]
    """What the figures leave out, in words."""

    def exceeds(self, budget: Budget | None) -> tuple[str, ...]:
        """Return the names of the caps that it may go over: by the upper end, and by the dearest item."""
        if budget is None:
            return ()
        caps = (("usd", budget.usd, self.usd_high), ("per_item_usd", budget.per_item_usd, self.dearest_usd))
        return tuple(name for name, cap, seen in caps if cap is not None and seen is not None and seen > cap)

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        amounts = {"usd": self.usd, "usd_low": self.usd_low, "usd_high": self.usd_high}
        return {
            "items": self.items,
            "sample": self.sample,
            **{name: None if amount is None else float(amount) for name, amount in amounts.items()},
            "confidence": CONFIDENCE,
            "at_least": self.at_least,
            "tiers": [one.as_json() for one in self.tiers],
            "promises": [
                {
                    "step": one.step,
                    "tier": one.tier,
                    "drawn": one.drawn,
                    "more_items": one.more_items,
                    "usd": None if one.usd is None else float(one.usd),
                }
                for one in self.promises
            ],
            "notes": list(self.notes),
        }


def reckoned_usd(price: Price | None, *, chars_in: int, chars_out: int) -> Decimal | None:
    """Return what a question will about cost by its length; None where no price per token is known.

    At $1 / $2 a million, 4,000 characters in and 40 out: (1,000 + 20) / 1e6 = $0.00102.
    """
    if price is None or price.usd_per_hour is not None:
        return None
    return price.cost_usd(
        tokens_in=math.ceil(chars_in / USUAL_CHARS_PER_TOKEN),
        tokens_cached=None,
        tokens_out=math.ceil(chars_out / USUAL_CHARS_PER_TOKEN),
        seconds=0.0,
    )


def total(amounts: Mapping[int, Decimal | None]) -> Decimal | None:
    """Return the sum; None where one is unknown."""
    known = [amount for amount in amounts.values() if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None
