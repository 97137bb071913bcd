"""The budget of a run: what it may spend, and what becomes of questions that there is no money for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from itertools import accumulate
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from pipeline.domain.pricing import USD_QUANTUM, Price

OnExhausted: TypeAlias = Literal["hold", "accept", "stop"]
BROKE = "the budget is spent"
_FRAME_TOKENS = 256
"""More than what a chat template and an endpoint's own words around a question come to."""
_MILLION = Decimal(1_000_000)
_CENT = Decimal("0.01")


class Budget(BaseModel):
    """What a run may spend. Calls priced by token are never made when they could cost more than is left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: Annotated[Decimal, Field(gt=0, le=Decimal(100_000_000), max_digits=20)]
    """Of all calls of the run, machine time included."""
    on_exhausted: OnExhausted = "hold"
    """`hold`: what is left waits until there is more. `accept`: it gets the best answer so far, marked `uncertified`.
    `stop`: the run is cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Where a run's money stands."""

    budget: Budget
    settled_usd: Decimal
    """What calls have cost; where an endpoint does not say, the most that they may have."""
    reserved_usd: Decimal
    """The most that calls may cost that were begun and are not settled."""
    lost_usd: Decimal
    """Among `reserved_usd`: of calls whose worker was lost. They may have been charged, and nobody knows."""
    lost_calls: int
    """Chunks to which these belong."""

    @property
    def free_usd(self) -> Decimal:
        """What may still be reserved."""
        return max(Decimal(0), self.budget.usd - self.settled_usd - self.reserved_usd)

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {
            "usd": float(self.budget.usd),
            "on_exhausted": self.budget.on_exhausted,
            "settled_usd": float(self.settled_usd),
            "reserved_usd": float(self.reserved_usd),
            "lost_usd": float(self.lost_usd),
            "lost_calls": self.lost_calls,
        }


def most_usd(price: Price | None, texts: Iterable[str], *, answer_tokens: int, tries: int) -> Decimal:
    """Return the most that one question may cost: no tokeniser makes more tokens of a text than it has bytes.

    `texts` is all that is sent; `tries` how often it may be sent and charged. 0 where time is paid and not tokens: what
    that costs is known only afterwards. At $1 / $2 a million, 44 bytes, 10 out, once: (256 + 44 + 20) / 1e6 = $0.00032.
    """
    if price is None or price.usd_per_mtok_in is None or price.usd_per_mtok_out is None:
        return Decimal(0)
    tokens_in = _FRAME_TOKENS + sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    per_in = max(price.usd_per_mtok_in, price.usd_per_mtok_cached_in or Decimal(0))
    once = (tokens_in * per_in + answer_tokens * price.usd_per_mtok_out) / _MILLION
    return (once * tries).quantize(USD_QUANTUM, ROUND_CEILING)


def affordable(costs: Sequence[Decimal], free_usd: Decimal) -> int:
    """Return how many of the first questions there is money for; none where nothing at all is left."""
    return 0 if free_usd <= 0 else sum(so_far <= free_usd for so_far in accumulate(costs))


def charge(costs: Sequence[Decimal | None], *, reserved_usd: Decimal) -> Decimal:
    """Return what calls are settled at: what they cost or, where one of them does not say, the most that it may be."""
    known = sum((cost for cost in costs if cost is not None), Decimal(0))
    return known if None not in costs else max(known, reserved_usd)


def dollars(amount: Decimal) -> str:
    """Return an amount for people: to a hundredth of a cent, less than a cent to two digits."""
    small = 0 < amount < _CENT
    return f"${amount:.2g}" if small else f"${amount:,.4f}".removesuffix("00")


def spent_reason(run_name: str, spending: Spending) -> str:
    """Return why a run is held for money, and what to do."""
    return (
        f"{BROKE}: {dollars(spending.settled_usd)} of {dollars(spending.budget.usd)} is spent and "
        f"{dollars(spending.reserved_usd)} reserved; go on with: headrace budget {run_name} --usd MORE"
    )
