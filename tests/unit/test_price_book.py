"""The price book: the one that ships, a user's own, and what a call costs by it."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.user_files import load_price_book
from pipeline.domain.errors import ConfigError
from pipeline.domain.pricing import Price, PriceBook

TODAY = dt.date(2026, 11, 23)


def book(tmp_path: Path, text: str) -> PriceBook:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return load_price_book(path)


def test_the_book_that_ships_prices_our_own_machine_and_some_endpoints() -> None:
    shipped = load_price_book()
    local = shipped.price("local-2-core", TODAY)
    assert local is not None
    assert local.usd_per_hour == Decimal("0.08")
    mini = shipped.price("gpt-4o-mini", TODAY)
    assert mini is not None
    assert (mini.usd_per_mtok_in, mini.usd_per_mtok_cached_in, mini.usd_per_mtok_out) == (
        Decimal("0.15"),
        Decimal("0.075"),
        Decimal("0.60"),
    )


def test_in_the_book_that_ships_cached_input_is_cheapest_and_output_dearest() -> None:
    for price in load_price_book().prices:
        if price.usd_per_hour is None:
            assert price.usd_per_mtok_in is not None
            assert price.usd_per_mtok_out is not None
            assert 0 < (price.usd_per_mtok_cached_in or 0) < price.usd_per_mtok_in < price.usd_per_mtok_out


def test_the_latest_entry_that_is_not_in_the_future_is_in_force(tmp_path: Path) -> None:
    prices = book(
        tmp_path,
        """
        prices = [
          { name = "m", valid_from = 2026-01-01, usd_per_hour = "1" },
          { name = "m", valid_from = 2026-03-01, usd_per_hour = "3" },
          { name = "m", valid_from = 2026-02-01, usd_per_hour = "2" },
        ]
        """,
    )
    in_force = [prices.price("m", day) for day in (dt.date(2025, 12, 31), dt.date(2026, 2, 1), dt.date(2026, 2, 28))]
    assert [price and price.version for price in in_force] == [None, "m@2026-02-01", "m@2026-02-01"]
    assert prices.price("other", TODAY) is None
    assert prices.price(None, TODAY) is None
    assert prices.names == ("m",)


@pytest.mark.parametrize("amount", ['"0.1"', "0.1"])
def test_amounts_are_exact_as_strings_and_as_numbers(tmp_path: Path, amount: str) -> None:
    prices = book(tmp_path, f'[[prices]]\nname = "m"\nvalid_from = 2026-01-01\nusd_per_hour = {amount}\n')
    assert prices.prices[0].usd_per_hour == Decimal("0.1")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('usd_per_hr = "1"', "line 4, prices.m.usd_per_hr: unknown key; did you mean `usd_per_hour`?; allowed: name,"),
        ('usd_per_hour = "-1"', "line 4, prices.m.usd_per_hour: should be greater than or equal to 0"),
        ('usd_per_hour = "1e30"', "line 4, prices.m.usd_per_hour: should be less than or equal to 100000000"),
        ("usd_per_hour = 1e9999999999", "line 4, prices.m.usd_per_hour: should be less than or equal to 100000000"),
        ("usd_per_hour = [1]", "line 4, prices.m.usd_per_hour: should be a number, best in quotes"),
        ('usd_per_hour = "cheap"', "line 4, prices.m.usd_per_hour: should be a valid decimal"),
        ("usd_per_hour = nan", "line 4, prices.m.usd_per_hour: should be a finite number"),
        ('usd_per_mtok_in = "1"', "line 1, prices.m: give usd_per_mtok_in and usd_per_mtok_out"),
        ('usd_per_hour = "1"\nusd_per_mtok_out = "1"', "line 1, prices.m: give usd_per_mtok_in and usd_per_mtok_out"),
        ("", "line 1, prices.m: give usd_per_mtok_in and usd_per_mtok_out"),
    ],
)
def test_an_error_names_key_and_line(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(ConfigError, match=r"^price book .*: 1 error") as caught:
        book(tmp_path, f'[[prices]]\nname = "m"\nvalid_from = 2026-01-01\n{line}\n')
    assert told in str(caught.value)


@pytest.mark.parametrize("amount", ["1" * 5000, "-" + "1" * 400, "0x" + "f" * 5000, "1e99999999999999999999"])
def test_a_number_that_is_too_long_is_an_error_with_its_line(tmp_path: Path, amount: str) -> None:
    with pytest.raises(ConfigError, match=r"price book .*: a number that is too long\n  line 4: ") as caught:
        book(tmp_path, f'[[prices]]\nname = "m"\nvalid_from = 2026-01-01\nusd_per_hour = {amount}\n')
    assert len(str(caught.value)) < 1000


def test_the_dearest_price_of_the_longest_call_is_still_an_amount() -> None:
    price = Price(name="m", valid_from=TODAY, usd_per_mtok_in=Decimal(10**8), usd_per_mtok_out=Decimal(0))
    cost = price.cost_usd(tokens_in=2**31 - 1, tokens_cached=None, tokens_out=0, seconds=0)
    assert cost is not None
    assert cost < 10**12


def test_two_prices_of_one_name_and_day_are_an_error(tmp_path: Path) -> None:
    entry = '[[prices]]\nname = "m"\nvalid_from = 2026-01-01\nusd_per_hour = "1"\n'
    with pytest.raises(ConfigError, match="two prices of the same name and date"):
        book(tmp_path, entry * 2)


TOKENS = Price(
    name="m",
    valid_from=TODAY,
    usd_per_mtok_in=Decimal(1),
    usd_per_mtok_cached_in=Decimal("0.5"),
    usd_per_mtok_out=Decimal(2),
)


def test_a_call_costs_its_tokens_the_cached_ones_at_their_own_price() -> None:
    cost = TOKENS.cost_usd(tokens_in=100, tokens_cached=40, tokens_out=10, seconds=9)
    assert cost == Decimal("0.0001")


def test_an_hour_of_a_machine_costs_its_price() -> None:
    price = Price(name="m", valid_from=TODAY, usd_per_hour=Decimal("0.08"))
    assert price.cost_usd(tokens_in=None, tokens_cached=None, tokens_out=None, seconds=3600) == Decimal("0.08")


def test_a_cost_that_needs_an_unknown_count_is_unknown() -> None:
    assert TOKENS.cost_usd(tokens_in=None, tokens_cached=None, tokens_out=1, seconds=1) is None
    assert TOKENS.cost_usd(tokens_in=1, tokens_cached=None, tokens_out=None, seconds=1) is None


@given(tokens_in=st.integers(0, 10**7), cached=st.none() | st.integers(0, 10**8), tokens_out=st.integers(0, 10**6))
def test_caching_never_makes_a_call_dearer_nor_cheaper_than_all_cached(
    tokens_in: int, cached: int | None, tokens_out: int
) -> None:
    cost, none, everything = (
        TOKENS.cost_usd(tokens_in=tokens_in, tokens_cached=count, tokens_out=tokens_out, seconds=0)
        for count in (cached, 0, tokens_in)
    )
    assert cost is not None
    assert none is not None
    assert everything is not None
    assert everything <= cost <= none
