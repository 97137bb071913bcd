"""Fields of an extract step: what is one, which answers fit it, and that its schema and its parser agree."""

import datetime as dt
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.domain.fields import MAX_LIST_ITEMS, FieldSpec, object_schema, parse_object


def spec(**keys: object) -> FieldSpec:
    return FieldSpec.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"type": "one_of"}, "lists the values of type one_of"),
        ({"type": "string", "options": ["a"]}, "lists the values of type one_of"),
        ({"type": "one_of", "options": ["a", "a"]}, "must be different"),
        ({"type": "one_of", "options": ["a", ""]}, "not empty"),
        ({"type": "number", "pattern": "x"}, "belongs to type string"),
        ({"type": "string", "pattern": "(?=x)"}, "not supported"),
        ({"type": "string", "minimum": 1}, "belong to types number and integer"),
        ({"type": "number", "minimum": 2, "maximum": 1}, "above `maximum`"),
        ({"type": "number", "minimum": float("nan")}, "finite"),
        ({"type": "money", "minimum": 1}, "belong to types number and integer"),
        ({"type": "string", "of": "number"}, "belongs to type list"),
        ({"type": "list", "of": "list"}, "of"),
        ({"type": "text"}, "type"),
        ({"type": "string", "descripton": "x"}, "descripton"),
    ],
)
def test_a_field_that_contradicts_itself_is_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        spec(**keys)


@pytest.mark.parametrize("kind", ["string", "number", "integer", "boolean", "date", "money", "list"])
def test_every_field_may_be_absent(kind: str) -> None:
    assert spec(type=kind).parse(None) is None


@pytest.mark.parametrize(
    ("keys", "value", "parsed"),
    [
        ({"type": "string"}, "text", "text"),
        ({"type": "string", "pattern": "^[A-Z]{2}-\\d+$"}, "AB-7", "AB-7"),
        ({"type": "number"}, 1.5, 1.5),
        ({"type": "number"}, 2, 2),
        ({"type": "integer"}, 2.0, 2),
        ({"type": "integer", "minimum": 2, "maximum": 2}, 2, 2),
        ({"type": "boolean"}, False, False),
        ({"type": "date"}, "2024-02-29", "2024-02-29"),
        ({"type": "money"}, "EUR 64.90", "EUR 64.90"),
        ({"type": "money"}, "JPY -500", "JPY -500"),
        ({"type": "list", "of": "money"}, ["EUR 1", "USD 2.5"], ("EUR 1", "USD 2.5")),
        ({"type": "one_of", "options": ["a", "b"]}, "b", "b"),
        ({"type": "list"}, ["a", "b"], ("a", "b")),
        ({"type": "list", "of": "number"}, [], ()),
    ],
)
def test_a_value_of_the_fields_type_is_kept(keys: dict[str, object], value: object, parsed: object) -> None:
    got = spec(**keys).parse(value)
    assert got == parsed
    assert type(got) is type(parsed)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ({"type": "string"}, 5),
        ({"type": "string"}, "nul \0"),
        ({"type": "string"}, "half \ud800"),
        ({"type": "string", "pattern": "[A-Z]+"}, "AB1"),
        ({"type": "string", "pattern": "[A-Z]+"}, "AB\n"),
        ({"type": "number"}, True),
        ({"type": "number"}, "1"),
        ({"type": "number"}, float("nan")),
        ({"type": "number"}, float("inf")),
        ({"type": "number", "maximum": 1}, 1.01),
        ({"type": "number"}, 10**400),
        ({"type": "integer"}, -(10**400)),
        ({"type": "list", "of": "number"}, [10**400]),
        ({"type": "integer"}, 1.5),
        ({"type": "integer", "minimum": 0}, -1),
        ({"type": "boolean"}, 1),
        ({"type": "date"}, "2023-02-29"),
        ({"type": "date"}, "29.02.2024"),
        ({"type": "date"}, "20240229"),
        ({"type": "money"}, 64.9),
        ({"type": "money"}, "64.90"),
        ({"type": "money"}, "64.90 EUR"),
        ({"type": "money"}, "EUR 064.90"),
        ({"type": "money"}, "EUR 1,249.00"),
        ({"type": "money"}, "EUR 5\n"),
        ({"type": "money"}, "eur 5"),
        ({"type": "money"}, "ABC 5"),
        ({"type": "one_of", "options": ["a", "b"]}, "A"),
        ({"type": "list"}, "a"),
        ({"type": "list"}, [None]),
        ({"type": "list", "of": "integer"}, [1, "2"]),
        ({"type": "list"}, ["x"] * (MAX_LIST_ITEMS + 1)),
    ],
)
def test_any_other_value_is_refused(keys: dict[str, object], value: object) -> None:
    with pytest.raises(ValueError):
        spec(**keys).parse(value)


@given(value=st.text(st.characters(min_codepoint=0x370, max_codepoint=0x3FF), min_size=1))
def test_a_refusal_never_shows_the_value(value: str) -> None:
    for field in (
        spec(type="number"),
        spec(type="date"),
        spec(type="money"),
        spec(type="one_of", options=["-"]),
        spec(type="list"),
    ):
        with pytest.raises(ValueError, match=r"^field f is no") as caught:
            parse_object({"f": field}, {"f": value})
        assert value not in str(caught.value)


@given(day=st.dates())
def test_every_day_is_a_date(day: dt.date) -> None:
    assert spec(type="date").parse(day.isoformat()) == day.isoformat()


@given(value=st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_survives_json_and_parsing(value: float) -> None:
    assert spec(type="number").parse(json.loads(json.dumps(value))) == value


def test_the_schema_asks_for_every_field_allows_null_and_nothing_else() -> None:
    fields = {"id": spec(type="string", pattern="\\d+"), "tags": spec(type="list", of="one_of", options=["a", "b"])}
    assert object_schema(fields) == {
        "type": "object",
        "properties": {
            "id": {"anyOf": [{"type": "string", "pattern": "^(?:(?:[0-9]){1,})$"}, {"type": "null"}]},
            "tags": {
                "anyOf": [{"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}, {"type": "null"}],
            },
        },
        "required": ["id", "tags"],
        "additionalProperties": False,
    }


@given(text=st.from_regex(r"\A[A-Z]{2}-[0-9]{4,6}\Z") | st.text(max_size=8))
def test_the_schemas_pattern_accepts_what_the_parser_accepts(text: str) -> None:
    field = spec(type="string", pattern="[A-Z]{2}-\\d{4,}")
    by_schema = re.search(str(field.scalar_schema()["pattern"]).replace("$", r"\Z"), text) is not None
    try:
        field.parse(text)
    except ValueError:
        assert not by_schema
    else:
        assert by_schema


@given(text=st.from_regex(r"\A(EUR|USD) -?[0-9]{1,3}(\.[0-9]{1,2})?\Z") | st.text(max_size=8))
def test_the_schema_of_money_accepts_what_the_parser_accepts(text: str) -> None:
    field = spec(type="money")
    by_schema = re.search(str(field.scalar_schema()["pattern"]).replace("$", r"\Z"), text) is not None
    try:
        field.parse(text)
    except ValueError:
        assert not by_schema or text[:3] not in {"EUR", "USD"}
    else:
        assert by_schema


FIELDS = {"a": spec(type="string"), "b": spec(type="integer")}


def test_an_object_comes_back_in_the_jobs_order() -> None:
    assert list(parse_object(FIELDS, {"b": 1, "a": "x"}).items()) == [("a", "x"), ("b", 1)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "the answer is no JSON object"),
        ({"a": "x"}, "field b is missing"),
        ({"a": "x", "b": 1, "c": 2, "d": 3}, "the answer has 2 fields that were not asked for"),
        ({"a": "x", "b": "y"}, "field b is no integer"),
    ],
)
def test_a_wrong_object_is_refused_with_the_fields_name(data: Any, said: str) -> None:  # noqa: ANN401 — any JSON at all
    with pytest.raises(ValueError, match=f"^{said}$"):
        parse_object(FIELDS, data)
