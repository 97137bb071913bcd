"""What a copied field may be: every candidate stands in the text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.answers import Fields
from pipeline.domain.checks import invented_field
from pipeline.domain.fields import FieldSpec
from pipeline.domain.spans import candidates, is_boundary, place_of

NUMBER = FieldSpec(type="number")
INTEGER = FieldSpec(type="integer", minimum=0, maximum=500)
DATE = FieldSpec(type="date")
MONEY = FieldSpec(type="money")
CODE = FieldSpec(type="string", pattern="[A-Z]{2}-[0-9]{4,}")


def values(spec: FieldSpec, text: str) -> list[object]:
    return [one.value for one in candidates(spec, text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pay 64.90 now", [64.9]),
        ("pay 1.249,00 now", [1249.0]),
        ("pay 1,249.50 now", [1249.5]),
        ("1'249 and 1 249 000", [1249, 1249000]),
        ("€24.00, 24€, $1,000.", [24.0, 24, 1000, 1.0]),
        ("EUR64 or 5kg", [64, 5]),
        ("12,5 %", [12.5]),
        ("1.249", [1249, 1.249]),
        ("\u0663 or 1\u2019249", [1249]),
        ("between -5 and +3", [-5, 3]),
        ("KL-20418, 10:30, v1.2.3, 2026-03-20, 555-0144, a1", []),
        ("The end: 89.95.", [89.95]),
        ("1,50,000 and 1,23,456.78", [150000, 123456.78]),
        ("1,50,00 or 1,50,000,5", []),
        ("eur64", [64]),
        ("007", [7]),
        ("none", []),
    ],
)
def test_numbers_are_read_in_the_notations_of_many_countries(text: str, expected: list[float]) -> None:
    assert values(NUMBER, text) == expected


@pytest.mark.parametrize("digits", ["9" * 5000, "9" * 5000 + ".5", "1," + ",".join(["999"] * 2000)])
def test_a_run_of_thousands_of_digits_is_no_number_and_no_failure(digits: str) -> None:
    assert values(NUMBER, f"key {digits} and 7") == [7]


def test_leading_zeros_of_any_length_change_nothing() -> None:
    assert values(NUMBER, f"{'0' * 6000}12.5 and 000") == [12.5, 0]


def test_numbers_of_another_type_or_range_are_no_candidates() -> None:
    assert values(INTEGER, "1.5 or 200 or 501 or -3") == [200]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("by 2026-03-20.", ["2026-03-20"]),
        ("12 April 2026, April 12th, 2026", ["2026-04-12"]),
        ("the third of March 2026", ["2026-03-03"]),
        ("am 3. März 2026 und le 1er février 2026", ["2026-03-03", "2026-02-01"]),
        ("20.03.2026", ["2026-03-20"]),
        ("03/04/2026", ["2026-03-04", "2026-04-03"]),
        ("2026年5月6日まで2026-05-29まで", ["2026-05-06", "2026-05-29"]),
        ("30 February 2026, 2026-13-01, March 3, 12-34", []),
        ("2026-03-20T10:00:00Z", ["2026-03-20"]),
    ],
)
def test_dates_are_read_in_figures_and_in_words(text: str, expected: list[str]) -> None:
    assert values(DATE, text) == expected


def test_patterns_match_whole_words_only() -> None:
    assert values(CODE, "QS-4471, XQS-4471, QS-44, AB-1234x AB-12345") == ["QS-4471", "AB-12345"]


@given(st.text(max_size=60), st.sampled_from([NUMBER, INTEGER, DATE, MONEY, CODE]))
def test_every_candidate_has_its_place_in_the_text_and_is_a_value_of_its_type(text: str, spec: FieldSpec) -> None:
    found = candidates(spec, text)
    assert len({one.literal for one in found}) == len(found)
    for one in found:
        assert 0 <= one.start < one.end <= len(text)
        assert spec.parse(json.loads(one.literal)) == one.value
        if spec is CODE:
            assert text[one.start : one.end] == one.value


@given(st.text(alphabet=st.sampled_from("0123456789 .,'\u2019-+€x/:\u00a0"), max_size=14))
def test_what_may_be_chosen_never_counts_as_invented(text: str) -> None:
    for one in candidates(NUMBER, text):
        assert invented_field({"n": NUMBER}, Fields({"n": one.value}), text) is None


@given(st.text(alphabet="ab .漢", max_size=12), st.integers(0, 11), st.integers(1, 5))
def test_the_place_of_a_string_is_the_first_one_that_is_no_part_of_a_word(text: str, start: int, length: int) -> None:
    value = text[start : start + length]
    places = [at for at in range(len(text)) if value and text.startswith(value, at)]
    whole = [at for at in places if is_boundary(text, at) and is_boundary(text, at + len(value))]
    assert place_of(value, text) == ((whole[0], whole[0] + len(value)) if whole else None)
