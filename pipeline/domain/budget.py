"""The budget of a run: what it may spend, and what becomes of questions that there is no money for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from itertools import accumulate
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.domain.pricing import USD_QUANTUM, Price

OnExhausted: TypeAlias = Literal["hold", "accept", "stop"]
BROKE = "the budget is spent"
OVER_CAP = "over its own cap"
"""How the reason of a dead letter begins that there is no more money for."""
_FRAME_TOKENS = 256
"""More than what a chat template and an endpoint's own words around a question come to."""
_MILLION = Decimal(1_000_000)
_CENT = Decimal("0.01")
_Usd: TypeAlias = Annotated[Decimal, Field(ge=USD_QUANTUM, le=Decimal(100_000_000), max_digits=20)]


class Budget(BaseModel):
    """What a run may spend. Calls priced by token are never made when they could cost more than is left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: _Usd | None = None
    """Of all calls of the run, machine time included; None: only items have a cap."""
    per_item_usd: _Usd | None = None
    """Of all calls of one item. What goes over it is set aside, and the run goes on with the others."""
    on_exhausted: OnExhausted = "hold"
    """`hold`: what is left waits until there is more. `accept`: it gets the best answer so far, marked `uncertified`.
    `stop`: the run is cancelled."""

    @model_validator(mode="after")
    def _says_something(self) -> "Budget":
        if self.usd is None and self.per_item_usd is None:
            msg = "give usd (of the run), per_item_usd (of each item), or both"
            raise ValueError(msg)
        return self

    def raised(self, other: "Budget") -> "Budget":
        """Return it with what another gives more of; a cap that the other does not name stays."""
        usd, per_item_usd = _larger(self.usd, other.usd), _larger(self.per_item_usd, other.per_item_usd)
        if (usd, per_item_usd) == (self.usd, self.per_item_usd):
            return self
        return Budget(usd=usd, per_item_usd=per_item_usd, on_exhausted=other.on_exhausted)


def _larger(now: Decimal | None, other: Decimal | None) -> Decimal | None:
    known = [amount for amount in (now, other) if amount is not None]
    return max(known, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Funded:
    """For which items of a chunk, by their places in it, there is money; the run has none left for the others."""

    asked: tuple[int, ...]
    over_cap: tuple[int, ...] = ()
    """Their next call could bring them above their own cap: they are in the chunk no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """Calls that were begun by workers which were lost: they may have been charged, and nobody knows."""

    calls: int = 0
    """Chunks to which these belong."""
    usd: Decimal = Decimal(0)
    """The most that they may have cost."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {"calls": self.calls, "usd": float(self.usd)}


NOTHING_UNSETTLED: Final = Unsettled()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Where a run's money stands."""

    budget: Budget
    settled_usd: Decimal
    """What calls have cost; where an endpoint does not say, the most that they may have."""
    reserved_usd: Decimal
    """The most that calls may cost that were begun and are not settled."""
    lost: Unsettled
    """Among `reserved_usd`: of calls whose worker was lost."""

    @property
    def free_usd(self) -> Decimal | None:
        """What may still be reserved; None: as much as is wanted."""
        left = _left(self.budget.usd, self.settled_usd + self.reserved_usd)
        return None if left is None else max(Decimal(0), left)

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {
            "usd": None if self.budget.usd is None else float(self.budget.usd),
            "per_item_usd": None if self.budget.per_item_usd is None else float(self.budget.per_item_usd),
            "on_exhausted": self.budget.on_exhausted,
            "settled_usd": float(self.settled_usd),
            "reserved_usd": float(self.reserved_usd),
            "lost_usd": float(self.lost.usd),
            "lost_calls": self.lost.calls,
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


def _left(usd: Decimal | None, gone_usd: Decimal) -> Decimal | None:
    return None if usd is None else usd - gone_usd


def affordable(costs: Sequence[Decimal], free_usd: Decimal) -> int:
    """Return how many of the first questions there is money for; none where nothing at all is left."""
    return 0 if free_usd <= 0 else sum(so_far <= free_usd for so_far in accumulate(costs))


def funded(
    budget: Budget, costs: Sequence[Decimal], spent: Sequence[Decimal | None], *, gone_usd: Decimal = Decimal(0)
) -> Funded:
    """Return which items may be asked at `costs`, the most that each may come to.

    `spent`: what each item has cost so far, what is reserved for it elsewhere included; None, which is more than any
    cap, where a call did not say. `gone_usd` is settled or reserved of the run's budget.
    """
    cap = budget.per_item_usd
    over = {
        place
        for place, (cost, before) in enumerate(zip(costs, spent, strict=True))
        if cap is not None and (before is None or before + cost > cap)
    }
    rest = [place for place in range(len(costs)) if place not in over]
    free = _left(budget.usd, gone_usd)
    count = len(rest) if free is None else affordable([costs[place] for place in rest], free)
    return Funded(asked=tuple(rest[:count]), over_cap=tuple(sorted(over)))


def over_cap_reason(cap_usd: Decimal, wanted_usd: Sequence[Decimal | None]) -> str:
    """Return why items are set aside; `wanted_usd`: what each may come to with its next call, None where unknown."""
    known = [usd for usd in wanted_usd if usd is not None]
    if len(known) < len(wanted_usd):
        return f"{OVER_CAP}: per_item_usd is {dollars(cap_usd)}, and a call so far did not say what it cost"
    return f"{OVER_CAP}: per_item_usd is {dollars(cap_usd)}, its next call may bring it to {dollars(_up(max(known)))}"


def _up(amount: Decimal) -> Decimal:
    """Round up as `dollars` rounds: what people are told to give must be enough."""
    digits = Decimal((0, (1,), max(amount.adjusted() - 1, -12))) if amount < _CENT else Decimal("0.0001")
    return amount.quantize(digits, ROUND_CEILING)


def charge(costs: Sequence[Decimal | None], *, reserved_usd: Decimal) -> Decimal:
    """Return what calls are settled at: what they cost or, where one of them does not say, the most that it may be."""
    known = sum((cost for cost in costs if cost is not None), Decimal(0))
    return known if None not in costs else max(known, reserved_usd)


def dollars(amount: Decimal) -> str:
    """Return an amount for people: to a hundredth of a cent, less than a cent to two digits."""
    small = 0 < amount < _CENT
    return f"${Decimal(f'{amount:.2g}'):f}" if small else f"${amount:,.4f}".removesuffix("00")


def spent_reason(run_name: str, spending: Spending) -> str:
    """Return why a run is held or stopped for money, and what to do."""
    retry = f" && headrace retry {run_name}" if spending.budget.on_exhausted == "stop" else ""
    return (
        f"{BROKE}: {dollars(spending.settled_usd)} of {dollars(spending.budget.usd or Decimal(0))} is spent and "
        f"{dollars(spending.reserved_usd)} reserved, and the next calls may cost more than is left; "
        f"go on with: headrace budget {run_name} --usd MORE{retry}"
    )
