"""Checks on answers: which hold, which fail, and that a user's own code can do no harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pipeline.domain.answers import Answer, Fields, FieldValue, Label, Labels, Number, Text
from pipeline.domain.checks import Check, EntryPoint, failed_check, invented_field
from pipeline.domain.fields import FieldSpec

CHECK: TypeAdapter[Check] = TypeAdapter(Check)
NO_CODE: dict[str, EntryPoint] = {}


def check(kind: str, **keys: object) -> Check:
    return CHECK.validate_python({"kind": kind, **keys})


def holds(one: Check, answer: Answer, text: str = "") -> bool:
    return failed_check((one,), answer, text, NO_CODE) is None


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("pattern", {}),
        ("pattern", {"pattern": "(?<x>a)"}),
        ("range", {}),
        ("range", {"minimum": 2, "maximum": 1}),
        ("range", {"minimum": float("inf")}),
        ("python", {"entry_point": "module.function"}),
        ("python", {"entry_point": "os;x:y"}),
        ("other", {}),
        ("occurs", {"fild": "x"}),
    ],
)
def test_a_check_that_says_nothing_or_nonsense_is_refused(kind: str, keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        check(kind, **keys)


def test_a_pattern_must_match_the_whole_value() -> None:
    one = check("pattern", pattern="[A-Z]{2}-\\d+")
    assert holds(one, Label("AB-12"))
    assert not holds(one, Label("AB-12 "))


@pytest.mark.parametrize(("value", "right"), [(0, True), (10.0, True), (10.5, False), (-1, False)])
def test_both_ends_of_a_range_belong_to_it(value: float, right: bool) -> None:  # noqa: FBT001 — a table of cases
    assert holds(check("range", minimum=0, maximum=10), Number(value)) is right


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Order  Number", "the ORDER\nnumber is"),
        (12, "12 apples"),
        (12, "12.00 dollars"),
        (12.5, "12.50 dollars"),
        (12.5, "12,50 euros"),
        (1234.5, "1,234.50"),
        (1234.5, "1.234,50"),
        (1234567, "1'234'567"),
        (1234567, "1 234 567"),
        (-5, "a balance of -5"),
        (0.1, "0.10"),
        (1e22, "10000000000000000000000"),
        (100, "100"),
        (True, "nothing to look for"),
    ],
)
def test_a_value_that_stands_in_the_text_occurs(value: str | float, text: str) -> None:
    assert holds(check("occurs", field="f"), Fields({"f": value}), text)


@pytest.mark.parametrize(
    ("value", "text"),
    [("AB-13", "AB-12"), (12, "120"), (12, "312"), (2, "2.5"), (5, "2.5"), (12.5, "12.55"), (10, "1"), (1.5, "1 5")],
)
def test_a_value_that_is_only_part_of_another_does_not_occur(value: str | float, text: str) -> None:
    assert not holds(check("occurs", field="f"), Fields({"f": value}), text)


@given(value=st.integers(-(10**12), 10**12), cents=st.integers(0, 99))
def test_every_amount_occurs_however_it_is_grouped(value: int, cents: int) -> None:
    amount = float(f"{value}.{cents:02}")
    one = check("occurs")
    grouped = f"{value:,}.{cents:02}"
    european = grouped.translate(str.maketrans(",.", ".,"))
    for text in (grouped, european, f"pay {grouped} now"):
        assert holds(one, Number(amount), text)


def test_absent_values_are_not_checked_and_lists_are_checked_value_by_value() -> None:
    one = check("range", field="f", minimum=1)
    assert holds(one, Fields({"f": None}))
    assert holds(one, Fields({}))
    assert holds(one, Fields({"f": (1, 2)}))
    assert not holds(one, Fields({"f": (1, 0)}))


def test_without_a_field_every_value_of_the_answer_is_looked_at() -> None:
    one = check("occurs")
    assert holds(one, Fields({"a": "x", "b": None, "c": ("y",)}), "x y")
    assert not holds(one, Fields({"a": "x", "b": "z"}), "x y")
    assert holds(one, Labels(("x", "y")), "x y")
    assert holds(one, Text("x"), "x y")


def test_the_first_check_that_fails_gives_the_reason() -> None:
    checks = (check("occurs", field="a"), check("range", field="b", minimum=5), check("pattern", pattern="z"))
    answer = Fields({"a": "x", "b": 1})
    assert failed_check(checks, answer, "x", NO_CODE) == "range:b"
    assert failed_check(checks[:1], answer, "x", NO_CODE) is None
    assert failed_check(checks[2:], answer, "x", NO_CODE) == "pattern"


def test_a_users_function_gets_the_plain_value_and_the_text() -> None:
    seen: list[tuple[object, str]] = []

    def remember(value: object, text: str) -> bool:
        seen.append((value, text))
        return True

    code = {"m:f": remember}
    whole, one = check("python", entry_point="m:f"), check("python", entry_point="m:f", field="a")
    assert failed_check((whole, one), Fields({"a": 1}), "t", code) is None
    assert failed_check((whole,), Label("x"), "t", code) is None
    assert seen == [({"a": 1}, "t"), (1, "t"), ("x", "t")]


def test_a_users_function_that_raises_or_says_false_fails_the_check() -> None:
    def raises(value: object, text: str) -> bool:
        raise KeyError(value, text)

    one = (check("python", entry_point="m:f"),)
    assert failed_check(one, Label("x"), "t", {"m:f": raises}) == "python"
    assert failed_check(one, Label("x"), "t", {"m:f": lambda _value, _text: False}) == "python"


def test_a_users_function_cannot_change_the_answer() -> None:
    def meddle(value: object, _text: str) -> bool:
        if isinstance(value, dict):
            value.clear()
        return True

    answer = Fields({"a": 1})
    assert failed_check((check("python", entry_point="m:f"),), answer, "", {"m:f": meddle}) is None
    assert answer == Fields({"a": 1})


COPIED = {
    "code": FieldSpec(type="string"),
    "n": FieldSpec(type="number"),
    "due": FieldSpec(type="date"),
    "tags": FieldSpec(type="list"),
    "paid": FieldSpec(type="money"),
    "sums": FieldSpec(type="list", of="money"),
    "free": FieldSpec(type="string", copy=False),
    "size": FieldSpec(type="one_of", options=("big", "small")),
}


@pytest.mark.parametrize(
    ("values", "invented"),
    [
        ({"code": "A 1", "n": 1249.5, "due": "2026-03-03", "tags": ("x", "y")}, None),
        ({"code": None, "n": None, "due": None, "tags": None}, None),
        ({"free": "not there", "size": "big"}, None),
        ({"code": "A 2"}, "code"),
        ({"n": 7}, "n"),
        ({"due": "2026-03-04"}, "due"),
        ({"tags": ("x", "z")}, "tags"),
        ({"paid": "EUR 64.90", "sums": ("EUR 64.9", "USD 12.00")}, None),
        ({"paid": "EUR 64"}, "paid"),
        ({"paid": "EUR 1249.50"}, "paid"),
        ({"paid": "USD 64.90"}, "paid"),
        ({"sums": ("EUR 64.90", "EUR 12")}, "sums"),
    ],
)
def test_a_copied_value_that_does_not_stand_in_the_text_is_found(
    values: dict[str, FieldValue], invented: str | None
) -> None:
    text = "Code a  1: 1.249,50 by 3 March 2026, x and y for 64,90 EUR or $12"
    assert invented_field(COPIED, Fields(values), text) == invented
    assert invented_field(COPIED, Label("A 2"), text) is None
