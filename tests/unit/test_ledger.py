"""Money: split to the last unit, never invented."""

import datetime as dt
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.ledger import Call, StepUsage, apportion, baseline_usd, enter, saved_ratio
from pipeline.domain.pricing import USD_QUANTUM, Price

TOKENS = Price(
    name="api",
    valid_from=dt.date(2026, 1, 1),
    usd_per_mtok_in=Decimal(1),
    usd_per_mtok_cached_in=Decimal("0.5"),
    usd_per_mtok_out=Decimal(2),
)
HOURLY = Price(name="box", valid_from=dt.date(2026, 1, 1), usd_per_hour=Decimal("3.6"))


def call(*, tokens_in: int | None = 100, cached: int | None = 40, out: int | None = 10, seconds: float = 2.5) -> Call:
    return Call(id=uuid4(), model="m", tokens_in=tokens_in, tokens_cached=cached, tokens_out=out, seconds=seconds)


@given(units=st.integers(0, 10**15), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_the_parts_of_a_cost_sum_to_it_exactly(units: int, weights: list[int]) -> None:
    cost = units * USD_QUANTUM
    parts = apportion(cost, weights)
    assert sum(parts) == cost
    assert len(parts) == len(weights)
    assert all(part >= 0 for part in parts)


@given(units=st.integers(0, 10**12), weights=st.lists(st.integers(1, 1000), min_size=2, max_size=20))
def test_more_tokens_never_get_a_smaller_part(units: int, weights: list[int]) -> None:
    parts = apportion(units * USD_QUANTUM, weights)
    for one, part in zip(weights, parts, strict=True):
        for other, rest in zip(weights, parts, strict=True):
            assert one <= other or part >= rest


def test_the_series_in_the_docstring_holds() -> None:
    assert apportion(10 * USD_QUANTUM, [1, 1, 1]) == [4 * USD_QUANTUM, 3 * USD_QUANTUM, 3 * USD_QUANTUM]
    assert apportion(Decimal(1), []) == []


def test_a_call_is_priced_by_token_or_by_second() -> None:
    assert enter(call(), TOKENS).cost_usd == Decimal("0.0001")
    assert enter(call(), HOURLY).cost_usd == Decimal("0.0025")
    assert enter(call(), TOKENS).price_version == "api@2026-01-01"


@pytest.mark.parametrize("unknown", [{"tokens_in": None}, {"out": None}])
def test_a_token_count_that_is_unknown_makes_the_cost_unknown(unknown: dict[str, int | None]) -> None:
    assert enter(call(**unknown), TOKENS).cost_usd is None  # type: ignore[arg-type]  # one count at a time is None


def test_without_a_price_the_cost_is_unknown_and_not_nothing() -> None:
    entry = enter(call(), None)
    assert (entry.cost_usd, entry.price_version) == (None, None)


def test_unknown_cached_tokens_cost_what_input_costs() -> None:
    assert enter(call(cached=None), TOKENS).cost_usd == Decimal("0.00012")


def usage(*, top_tokens: int = 0, top_cost: Decimal | None = None, unread: int = 0) -> StepUsage:
    return StepUsage(
        tokens_in=1000, tokens_out=100, read=10, unread=unread, top_tokens=top_tokens, top_cost_usd=top_cost
    )


def test_the_baseline_takes_the_top_tiers_own_cost_per_token_where_it_answered() -> None:
    assert baseline_usd([usage(top_tokens=110, top_cost=Decimal("0.5"))], HOURLY) == Decimal(5)


def test_the_baseline_takes_the_list_price_where_the_top_tier_answered_nothing() -> None:
    assert baseline_usd([usage()], TOKENS) == Decimal("0.0012")


def test_items_that_no_model_read_count_as_those_that_one_did() -> None:
    assert baseline_usd([usage(unread=30)], TOKENS) == 4 * Decimal("0.0012")
    assert baseline_usd([usage(top_tokens=110, top_cost=Decimal("0.5"), unread=5)], HOURLY) == Decimal("7.5")
    nobody = StepUsage(tokens_in=0, tokens_out=0, read=0, unread=3, top_tokens=0, top_cost_usd=None)
    assert baseline_usd([nobody], TOKENS) is None


def test_an_hourly_price_without_any_measurement_gives_no_baseline() -> None:
    assert baseline_usd([usage()], HOURLY) is None
    assert baseline_usd([usage(), usage(top_tokens=110, top_cost=Decimal(1))], HOURLY) == Decimal(20)


def test_no_price_for_the_top_tier_gives_no_baseline() -> None:
    assert baseline_usd([usage()], None) is None


def test_the_saving_is_unknown_as_soon_as_one_cost_is() -> None:
    assert saved_ratio(known_usd=Decimal(1), unknown_calls=0, baseline=Decimal(4)) == 0.75
    assert saved_ratio(known_usd=Decimal(1), unknown_calls=1, baseline=Decimal(4)) is None
    assert saved_ratio(known_usd=Decimal(1), unknown_calls=0, baseline=None) is None
    assert saved_ratio(known_usd=Decimal(0), unknown_calls=0, baseline=Decimal(0)) is None
