"""Amounts of money: which a text names, in whose notation, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.answers import Fields
from pipeline.domain.checks import invented_field
from pipeline.domain.currencies import CODES
from pipeline.domain.fields import FieldSpec
from pipeline.domain.money import amount_of, amounts_in
from pipeline.domain.spans import candidates

MONEY = FieldSpec(type="money")
SCRAPS = [
    "EUR",
    "USD",
    "TRY",
    "$",
    "CA$",
    "€",
    "¥",
    "kr",
    "zł",
    "dollars",
    "k",
    " ",
    "\u00a0",
    "-",
    "\u2212",
    "円",
    "x",
]
PIECES = st.sampled_from([*SCRAPS, *"0123456789.,'"])


def said(text: str) -> list[tuple[str, str]]:
    return [(value, text[start:end]) for value, start, end in amounts_in(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EUR 1.234,50", [("EUR 1234.50", "EUR 1.234,50")]),
        ("paid 64.90 EUR.", [("EUR 64.90", "64.90 EUR")]),
        ("EUR64.90 and 64,90€", [("EUR 64.90", "EUR64.90"), ("EUR 64.90", "64,90€")]),
        ("CHF 1'249.50 or 12 500 zł", [("CHF 1249.50", "CHF 1'249.50"), ("PLN 12500", "12 500 zł")]),
        ("£6, ₹8, ($5)", [("GBP 6", "£6"), ("INR 8", "₹8"), ("USD 5", "$5")]),
        ("500円です", [("JPY 500", "500円")]),
        ("CHF 5.- or 007 EUR", [("CHF 5", "CHF 5"), ("EUR 7", "007 EUR")]),
        ("$12/month", [("USD 12", "$12")]),
        (
            "Rs 1,50,000 or ₹1,23,456.78",
            [
                ("INR 150000", "Rs 1,50,000"),
                ("PKR 150000", "Rs 1,50,000"),
                ("INR 123456.78", "₹1,23,456.78"),
            ],
        ),
        ("1,00,000 INR, PKR 12,34,56,789", [("INR 100000", "1,00,000 INR"), ("PKR 123456789", "PKR 12,34,56,789")]),
        ("5 eur, usd 5.10, 7 Usd", [("EUR 5", "5 eur"), ("USD 5.10", "usd 5.10"), ("USD 7", "7 Usd")]),
        ("9.50 sek", [("SEK 9.50", "9.50 sek")]),
        ("5,- € or 7.- CHF or 8.-- CHF", [("EUR 5", "5,- €"), ("CHF 7", "7.- CHF"), ("CHF 8", "8.-- CHF")]),
        ("EUR   5", [("EUR 5", "EUR   5")]),
        ("EUR\t5, 6\t\tEUR", [("EUR 5", "EUR\t5"), ("EUR 6", "6\t\tEUR")]),
        ("a sum of EUR\n5, of 6\r\n EUR.", [("EUR 5", "EUR\n5"), ("EUR 6", "6\r\n EUR")]),
        ("5 EUR\n6 USD", [("EUR 5", "5 EUR"), ("USD 6", "6 USD")]),
        ("EUR 5\nEUR 6\n7", [("EUR 5", "EUR 5"), ("EUR 6", "EUR 6")]),
        ("$.50, €.05", [("USD 0.50", "$.50"), ("EUR 0.05", "€.05")]),
        ("$15 T-shirt", [("USD 15", "$15")]),
        ("12.50 dollars, 3 Euro", [("USD 12.50", "12.50 dollars"), ("EUR 3", "3 Euro")]),
    ],
)
def test_the_currency_stands_before_or_behind_in_the_notations_of_many_countries(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("$5", ["USD"]),
        ("US$5", ["USD"]),
        ("CA$5", ["CAD"]),
        ("A$5", ["AUD"]),
        ("NZ$5", ["NZD"]),
        ("HK$5", ["HKD"]),
        ("R$5", ["BRL"]),
        ("$5 CAD", ["CAD"]),
        ("MXN $5", ["MXN"]),
        ("5 Canadian dollars", ["CAD"]),
        ("X$5", []),
        ("¥5", ["JPY", "CNY"]),
        ("5 kr", ["SEK", "NOK", "DKK"]),
        ("5 kr NOK", ["SEK", "NOK", "DKK"]),
        ("kr 5 NOK", ["NOK"]),
    ],
)
def test_a_sign_of_several_currencies_offers_each_unless_the_text_says_which(text: str, codes: list[str]) -> None:
    assert [value.split()[0] for value, _, _ in amounts_in(text)] == codes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-$5", [("USD -5", "-$5")]),
        ("$-5", [("USD -5", "$-5")]),
        ("\u22127 €", [("EUR -7", "\u22127 €")]),
        ("10-20 EUR", [("EUR 20", "20 EUR")]),
        ("€10-€20", [("EUR 10", "€10"), ("EUR 20", "€20")]),
        ("10 EUR-20 EUR", [("EUR 10", "10 EUR"), ("EUR 20", "20 EUR")]),
    ],
)
def test_a_minus_sign_is_told_from_the_dash_of_a_range(text: str, expected: list[tuple[str, str]]) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "64.90",
        "$5k",
        "$3 million",
        "3 Mio. EUR",
        "¥500万",
        "1.2.3 EUR",
        "A5 EUR",
        "2026-03-20 EUR",
        "TRY 2 TIMES",
        "all 5 items, top 5, try 5.00",
        "5 sek, cad 5, nok 5",
        "$1,50,000",
        "5.50 neur",
        "$5 trillion",
        "$5 T",
        "$5 B",
        "Rs 5 cr",
        "Rs 5 crore",
        "INR 5 lakhs",
        "5 lakh INR",
        "5 mn EUR",
        "$5 bn",
        "EUR\n\n5",
        "EUR" + " " * 9 + "5",
        "costs.50",
        "EURO",
    ],
)
def test_what_has_no_currency_or_is_no_plain_amount_is_none(text: str) -> None:
    assert said(text) == []


@pytest.mark.parametrize("digits", ["9" * 5000, "9" * 5000 + ".5", "1," + ",".join(["999"] * 2000)])
def test_a_run_of_thousands_of_digits_is_no_amount_and_no_failure(digits: str) -> None:
    assert said(f"EUR {digits} and 7 EUR") == [("EUR 7", "7 EUR")]


def test_a_currency_between_two_amounts_is_offered_with_both_unless_the_first_has_one() -> None:
    assert said("12 USD 13 EUR") == [("USD 12", "12 USD"), ("EUR 13", "13 EUR"), ("USD 13", "USD 13")]
    assert said("USD 12 EUR 13") == [("USD 12", "USD 12"), ("EUR 13", "EUR 13")]


def test_a_notation_that_means_two_things_offers_both() -> None:
    assert [one.value for one in candidates(MONEY, "EUR 1.234")] == ["EUR 1234", "EUR 1.234"]


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40))
def test_every_amount_has_its_place_is_canonical_and_does_not_count_as_invented(text: str) -> None:
    for value, start, end in amounts_in(text):
        assert 0 <= start < end <= len(text)
        assert any(char.isdigit() for char in text[start:end])
        code, worth = amount_of(value)
        assert code in CODES
        assert (worth < 0) <= (text[start] in "-\u2212" or "-" in text[start:end] or "\u2212" in text[start:end])
        assert MONEY.parse(value) == value
    for one in candidates(MONEY, text):
        assert invented_field({"f": MONEY}, Fields({"f": one.value}), text) is None


@given(
    st.sampled_from(sorted(CODES)),
    st.decimals(min_value=0, max_value=10**9, places=2).map(lambda worth: f"{worth:.2f}"),
    st.booleans(),
)
def test_an_amount_written_plainly_is_found_whatever_its_currency(code: str, figures: str, behind: bool) -> None:  # noqa: FBT001 — hypothesis gives it
    text = f"Total: {f'{figures} {code}' if behind else f'{code} {figures}'}, thanks"
    assert said(text) == [(f"{code} {figures}", text[7:-8])]
