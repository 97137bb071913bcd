"""What every call cost, split over what it answered to the last unit, and what the top tier would have charged."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from pipeline.domain.pricing import USD_QUANTUM, Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One use of an engine."""

    id: UUID
    model: str
    """What answered: the endpoint's own word for it, or the catalogue name and the file's digest."""
    tokens_in: int | None
    """Prompt tokens, those of a shared prefix or prompt cache included; None where the endpoint does not say."""
    tokens_cached: int | None
    """The part of `tokens_in` that was not read again."""
    tokens_out: int | None
    seconds: float
    """Wall time; for a local engine the time that a worker was occupied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line per call made, append-only. An unknown price is None, never 0."""

    call: Call
    cost_usd: Decimal | None
    price_version: str | None
    refused: bool = False
    """The answers came too late (an old fence) and were not recorded; the money is spent all the same."""


def enter(call: Call, price: Price | None, *, refused: bool = False) -> LedgerEntry:
    """Price a call."""
    cost = (
        None
        if price is None
        else price.cost_usd(
            tokens_in=call.tokens_in, tokens_cached=call.tokens_cached, tokens_out=call.tokens_out, seconds=call.seconds
        )
    )
    return LedgerEntry(
        call=call, cost_usd=cost, price_version=None if price is None else price.version, refused=refused
    )


def apportion(cost_usd: Decimal, weights: Sequence[int]) -> list[Decimal]:
    """Split a cost by weights (tokens) so that the parts sum to it exactly, in units of 1e-12 USD.

    Largest remainder: 10 units over weights 1, 1, 1 → 4, 3, 3. All weights 0 counts as all equal.
    """
    if not weights:
        return []
    units = int(cost_usd / USD_QUANTUM)
    shares = list(weights) if any(weights) else [1] * len(weights)
    total = sum(shares)
    parts = [units * share // total for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda index: (-(units * shares[index] % total), index))
    for index in by_remainder[: units - sum(parts)]:
        parts[index] += 1
    return [part * USD_QUANTUM for part in parts]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUsage:
    """What one step's attempts of one run used, for the baseline."""

    tokens_in: int
    """Of attempts of the first tier that reads tokens, one for each (item, step), as if each had been asked alone."""
    tokens_out: int
    read: int
    """How many attempts these are."""
    unread: int
    """How many more were answered below by a tier that reads none: they count as the mean of the others."""
    top_tokens: int
    """In and out, of the top tier's own attempts."""
    top_cost_usd: Decimal | None
    """What those cost; None where unknown."""


def baseline_usd(steps: Sequence[StepUsage], top_price: Price | None) -> Decimal | None:
    """Estimate what the top tier would have charged for the same items and steps; None where it can't be told.

    Where the top tier answered some items of a step in this run, its own cost per token there is applied to all.
    Where it answered none, a price per token is applied to the first tier's token counts, and a price per hour (whose
    cost per token only a measurement gives) to the rate that the top tier showed on the run's other steps. Items that
    no tier with tokens has read count as those that one has; where there are none of these, it can't be told.
    """
    if top_price is None:
        return None
    seen_tokens = sum(step.top_tokens for step in steps if step.top_cost_usd is not None)
    seen_cost = sum((step.top_cost_usd for step in steps if step.top_cost_usd is not None), Decimal(0))
    total = Decimal(0)
    for step in steps:
        if step.unread and not step.read:
            return None
        items = Fraction(step.read + step.unread, step.read or 1)
        tokens = Decimal((step.tokens_in + step.tokens_out) * items.numerator) / items.denominator
        if step.top_tokens and step.top_cost_usd is not None:
            total += step.top_cost_usd * tokens / step.top_tokens
            continue
        listed = None
        if top_price.usd_per_hour is None:
            listed = top_price.cost_usd(
                tokens_in=round(step.tokens_in * items),
                tokens_cached=None,
                tokens_out=round(step.tokens_out * items),
                seconds=0.0,
            )
        if listed is None:
            if not seen_tokens:
                return None
            listed = seen_cost * tokens / seen_tokens
        total += listed
    return total.quantize(USD_QUANTUM)


def saved_ratio(*, known_usd: Decimal, unknown_calls: int, baseline: Decimal | None) -> float | None:
    """Return 1 - cost / baseline; None where a cost or the baseline is unknown."""
    if unknown_calls or baseline is None or not baseline:
        return None
    return float(1 - known_usd / baseline)
