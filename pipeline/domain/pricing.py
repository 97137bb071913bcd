"""What things cost: dated prices per token for endpoints, per hour for machines of our own."""

import datetime as dt
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

USD_QUANTUM = Decimal("1e-12")
"""Smallest amount booked: a thousandth of what one cached token of the cheapest endpoint costs."""
_MILLION = Decimal(1_000_000)
_HOUR_S = Decimal(3600)
_MOST_USD = Decimal(100_000_000)
"""Of one price: a call at it is still an amount that the ledger can hold."""
_Usd: TypeAlias = Annotated[Decimal, Field(ge=0, le=_MOST_USD)]


class Price(BaseModel):
    """One dated price: either per million tokens, or per hour of what one worker occupies."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = Field(min_length=1)
    valid_from: dt.date
    usd_per_mtok_in: _Usd | None = None
    usd_per_mtok_cached_in: _Usd | None = None
    """None: cached input costs what input costs."""
    usd_per_mtok_out: _Usd | None = None
    usd_per_hour: _Usd | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Price":
        per_token = self.usd_per_mtok_in is not None and self.usd_per_mtok_out is not None
        any_token = any(
            v is not None for v in (self.usd_per_mtok_in, self.usd_per_mtok_cached_in, self.usd_per_mtok_out)
        )
        if per_token == (self.usd_per_hour is not None) or (any_token and not per_token):
            msg = "give usd_per_mtok_in and usd_per_mtok_out (and perhaps usd_per_mtok_cached_in), or usd_per_hour"
            raise ValueError(msg)
        return self

    @property
    def version(self) -> str:
        """Name and date: what a ledger line keeps."""
        return f"{self.name}@{self.valid_from.isoformat()}"

    def cost_usd(
        self, *, tokens_in: int | None, tokens_cached: int | None, tokens_out: int | None, seconds: float
    ) -> Decimal | None:
        """Return the price of one call in USD, or None where a count that it needs is unknown.

        `tokens_cached` is the part of `tokens_in` that the endpoint did not read again; unknown counts as none of it.
        100 tokens in, 40 of them cached, 10 out, at $1 / $0.5 / $2 a million: (60 + 20 + 20) / 1e6 = $0.0001.
        """
        if self.usd_per_hour is not None:
            amount = self.usd_per_hour * Decimal(repr(float(seconds))) / _HOUR_S
        elif tokens_in is None or tokens_out is None or self.usd_per_mtok_in is None or self.usd_per_mtok_out is None:
            return None
        else:
            cached = min(tokens_cached or 0, tokens_in)
            per_cached = self.usd_per_mtok_in if self.usd_per_mtok_cached_in is None else self.usd_per_mtok_cached_in
            amount = (
                (tokens_in - cached) * self.usd_per_mtok_in + cached * per_cached + tokens_out * self.usd_per_mtok_out
            ) / _MILLION
        return amount.quantize(USD_QUANTUM, ROUND_HALF_EVEN)


class PriceBook(BaseModel):
    """All prices; several entries of one name differ in their date."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prices: tuple[Price, ...] = ()

    @model_validator(mode="after")
    def _different(self) -> "PriceBook":
        if len({price.version for price in self.prices}) != len(self.prices):
            msg = "two prices of the same name and date"
            raise ValueError(msg)
        return self

    def price(self, name: str | None, on: dt.date) -> Price | None:
        """Return the price in force on a day; None where none is known."""
        known = [price for price in self.prices if price.name == name and price.valid_from <= on]
        return max(known, key=lambda price: price.valid_from, default=None)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted({price.name for price in self.prices}))
