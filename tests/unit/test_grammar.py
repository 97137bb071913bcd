"""Grammars of values and the frame of an object; that llama.cpp obeys them is an integration test."""

import json
from typing import Any

import pytest

from pipeline.domain.fields import FieldSpec
from pipeline.domain.grammar import slots, value_grammar
from pipeline.domain.patterns import PatternError


def field(**options: Any) -> FieldSpec:  # noqa: ANN401 — as a job file gives them
    return FieldSpec(**options)


def test_leads_and_values_written_together_are_the_object() -> None:
    plan = slots([("order_id", field(type="string")), ("größe", field(type="number")), ("open", field(type="boolean"))])
    written = [' "A, }",', " 12.5,", " null}"]
    text = "".join(slot.lead + value for slot, value in zip(plan, written, strict=True))
    assert text == '{"order_id": "A, }", "größe": 12.5, "open": null}'
    assert json.loads(text) == {"order_id": "A, }", "größe": 12.5, "open": None}
    assert [slot.holds(value.encode()) for slot, value in zip(plan, written, strict=True)] == [True] * 3


@pytest.mark.parametrize("written", [b' "a', b' "a,', b' "a"', b" 1", b" -,", b' ["a",', b' "\xe2\x82,', b" "])
def test_a_value_that_is_not_finished_is_not_held(written: bytes) -> None:
    first, _ = slots([("a", field(type="string")), ("b", field(type="string"))])
    assert not first.holds(written)


def test_an_end_sign_inside_a_string_or_a_list_ends_nothing() -> None:
    first, last = slots([("a", field(type="string")), ("b", field(type="list"))])
    assert not first.holds(b' "x,')
    assert first.holds(b' "x,",')
    assert not last.holds(b' ["x}')
    assert last.holds(b' ["x}"]}')


def test_every_field_may_be_null_and_ends_with_its_sign() -> None:
    for kind in ("string", "number", "integer", "boolean", "date", "money"):
        root = value_grammar(field(type=kind), ",").splitlines()[0]
        assert root.endswith('| "null") ","')


def test_a_least_value_of_zero_forbids_the_minus_sign() -> None:
    assert '"-"?' in value_grammar(field(type="number"), ",")
    assert '"-"?' not in value_grammar(field(type="number", minimum=0), ",")


def test_nothing_repeats_without_bound_but_what_the_pattern_says() -> None:
    for spec in (field(type="string"), field(type="number"), field(type="list", of="date")):
        grammar = value_grammar(spec, ",")
        assert not any(sign in grammar for sign in ("* ", "+ ", ",}"))


def test_a_class_of_which_json_can_carry_nothing_is_refused() -> None:
    with pytest.raises(PatternError, match="matches nothing"):
        value_grammar(field(type="string", pattern="[\0]"), ",")
