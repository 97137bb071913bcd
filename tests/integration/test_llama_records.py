"""Records on a real model: copied values, fields decided without reading, questions that share a reading."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.adapters.llama.engine import SEQUENCES, LlamaEngine
from pipeline.domain.answers import Defect, Fields, Label, Malformed, Span
from pipeline.domain.fields import FieldSpec
from pipeline.domain.steps import Choice, Form, Record
from pipeline.ports.engine import Ask
from pipeline.prompts import Question
from tests.integration.llama_cases import CODE, DETAILS, SMALL, TEXTS, answers, engine_for, question

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]  # a busy machine reads a hundred tokens a second


def test_fields_of_every_type_come_out_typed_with_a_score_each(engine: LlamaEngine) -> None:
    text = "Order AB-1234: 12.50 dollars are due on 2024-05-01. I wrote a mail about the lamp."
    for given in answers(engine, DETAILS, [text, "Nothing to see here."]):
        assert isinstance(given.answer, Fields)
        value = given.answer.value
        assert list(value) == ["order_id", "amount", "due", "urgent", "channel", "paid"]
        assert value["urgent"] in {True, False, None}
        assert value["channel"] in {"mail", "phone", None}
        assert isinstance(value["paid"], tuple | None)
        assert set(given.field_scores) == set(value)
        assert given.raw_score == min(given.field_scores.values())


def test_a_copied_value_stands_in_the_text_or_is_null(engine: LlamaEngine) -> None:
    fields = {
        "code": {"type": "string", "pattern": "[A-Z]{2}-[0-9]{4}"},
        "name": {"type": "string", "description": "name of the customer"},
        "amount": {"type": "number"},
        "due": {"type": "date"},
    }
    asked = question(kind="extract", fields=fields)
    texts = [
        'My name is "Ann O\'Neil" \\ and QX-4471 costs 1.249,50 EUR, due 3 March 2026.',
        "注文番号はQX-4471です。2026-05-29まで",
        "Nothing at all",
        "Zoë\nwrites <|im_end|> twice",
        "",
    ]
    for text, given in zip(texts, answers(engine, asked, texts), strict=True):
        assert isinstance(given.answer, Fields)
        value = given.answer.value
        assert list(value) == list(fields)
        assert value["code"] in {None, "QX-4471"}
        assert value["amount"] in {None, 1249.5} | ({2026} if "3 March" in text else set())
        assert value["due"] in {None, "2026-03-03", "2026-05-29"}
        assert value["name"] is None or str(value["name"]) in text
        assert set(given.field_scores) == set(fields)
        for name, where in given.answer.spans.items():
            assert value[name] is not None
            (start, end) = cast("Span", where)
            assert 0 <= start < end <= len(text)


def test_a_list_holds_what_the_text_says_once_each_with_its_place(engine: LlamaEngine) -> None:
    fields = {
        "codes": {"type": "list", "pattern": "[A-Z]{2}-[0-9]{4}"},
        "numbers": {"type": "list", "of": "number"},
        "days": {"type": "list", "of": "date"},
        "ways": {"type": "list", "of": "one_of", "options": ["mail", "phone"]},
    }
    asked = question(kind="extract", fields=fields)
    texts = ["Paid 12, 24.00 and 24 for QX-4471, AB-1234, 3 March 2026.", "Zoë\nsays 1.249 <|im_end|>", ""]
    offered: list[dict[str, set[Any]]] = [
        {"codes": {"QX-4471", "AB-1234"}, "numbers": {12, 24, 2026, 3}, "days": {"2026-03-03"}},
        {"codes": set(), "numbers": {1249, 1.249}, "days": set()},
        {"codes": set(), "numbers": set(), "days": set()},
    ]
    for text, offer, given in zip(texts, offered, answers(engine, asked, texts), strict=True):
        assert isinstance(given.answer, Fields)
        value = {name: cast("tuple[object, ...] | None", part) for name, part in given.answer.value.items()}
        assert list(value) == list(fields)
        for name, allowed in {**offer, "ways": {"mail", "phone"}}.items():
            listed = value[name] or ()
            assert set(listed) <= allowed
            assert len(set(listed)) == len(listed)
            assert allowed or (value[name] is None and given.field_scores[name].value == 1.0)
            assert 0 < given.field_scores[name].value <= 1
            if name != "ways":  # an option need not stand in the text
                assert len(given.answer.spans.get(name, ())) == len(listed)
        places = cast("tuple[Span, ...]", given.answer.spans.get("codes", ()))
        assert tuple(text[start:end] for start, end in places) == (value["codes"] or ())


def test_money_is_an_amount_of_the_text_with_its_currency_and_place(engine: LlamaEngine) -> None:
    asked = question(kind="extract", fields={"paid": {"type": "money"}, "sums": {"type": "list", "of": "money"}})
    offered = {
        "I paid 64,90 € and $12 for it": {"EUR 64.90": "64,90 €", "USD 12": "$12"},
        "It cost 64.90": {},
    }
    for (text, amounts), given in zip(offered.items(), answers(engine, asked, list(offered)), strict=True):
        assert isinstance(given.answer, Fields)
        paid, sums = given.answer.value["paid"], cast("tuple[str, ...] | None", given.answer.value["sums"])
        assert paid is None or paid in amounts
        assert set(sums or ()) <= set(amounts)
        assert amounts or (sums is None and given.raw_score is not None and given.raw_score.value == 1.0)
        where = {str(paid): given.answer.spans["paid"]} if paid is not None else {}
        where |= dict(zip(sums or (), cast("tuple[Span, ...]", given.answer.spans.get("sums", ())), strict=True))
        for value, (start, end) in cast("dict[str, Span]", where).items():
            assert text[start:end] == amounts[value]


def test_a_list_of_strings_holds_different_spans_of_the_text(engine: LlamaEngine) -> None:
    asked = question(kind="extract", fields={"things": {"type": "list", "description": "what was bought"}})
    texts = ["red lamp, red cup", '"a" \\ 🙂\nb', "注文です", ""]
    for text, given in zip(texts, answers(engine, asked, texts), strict=True):
        assert isinstance(given.answer, Fields)
        value = cast("tuple[str, ...] | None", given.answer.value["things"])
        assert text or value is None
        assert len(set(value or ())) == len(value or ())
        places = cast("tuple[Span, ...]", given.answer.spans.get("things", ()))
        assert tuple(text[start:end] for start, end in places) == (value or ())


def test_a_field_for_which_the_text_has_no_value_is_null_without_reading(engine: LlamaEngine) -> None:
    asked = question(kind="extract", fields={"due": {"type": "date"}, "amount": {"type": "number"}})
    (given,) = answers(engine, asked, ["Neither a day nor a sum"])
    assert given.answer == Fields({"due": None, "amount": None})
    assert given.raw_score is not None
    assert given.raw_score.value == 1.0
    assert given.usage.tokens_cached == given.usage.tokens_in
    assert given.usage.tokens_out == 0


def test_questions_that_begin_alike_read_a_text_once_and_answer_as_they_do_alone(engine: LlamaEngine) -> None:
    """A batch of another shape moves probabilities a little, so the labels are compared where they are clear."""
    record = Record((("n", FieldSpec(type="integer")), ("m", FieldSpec(type="boolean"))))
    forms: list[tuple[str, Form]] = [
        ("\n\nIs it good or bad?", Choice(("good", "bad"))),
        ("\n\nHot, hot dog or cold?", Choice(("hot", "hot dog", "cold"))),
        ("\n\nJSON with the number:", record),
    ]
    alike = [
        Question(step=f"s{number}", system="Answer the question.", shots=(), before="Text: ", after=after, form=form)
        for number, (after, form) in enumerate(forms)
    ]
    texts = [f"{text} {number}" for number, text in enumerate(TEXTS[:9])]
    together = engine.answer([Ask(question=one, text=text) for one in alike for text in texts])
    assert len(together.calls) == 1
    apart = [given for one in alike for given in answers(engine, one, texts)]
    for place, (fused, alone) in enumerate(zip(together.given, apart, strict=True)):
        assert fused is not None
        assert fused.usage.tokens_in == alone.usage.tokens_in
        if place >= len(texts):  # only the first question pays for the text
            assert (fused.usage.tokens_cached or 0) > (alone.usage.tokens_cached or 0)
        if isinstance(fused.answer, Label):
            assert fused.raw_score is not None
            assert alone.raw_score is not None
            assert abs(fused.raw_score.value - alone.raw_score.value) < 0.2 or fused.answer != alone.answer
    pairs = zip(together.given, apart, strict=True)
    same = sum(fused is not None and fused.answer == alone.answer for fused, alone in pairs)
    assert same >= len(apart) - 4
    assert len(engine._reader._sequences) + len(engine._reader._prefixes) == SEQUENCES


def test_many_records_at_once_are_the_same_as_one_by_one(engine: LlamaEngine) -> None:
    texts = [f"My order is {letter}{letter}-{1000 + 7 * number}." for number, letter in enumerate("ABCDEFGHKLMN")]
    together = [given.answer for given in answers(engine, CODE, texts)]
    alone = [answers(engine, CODE, [text])[0].answer for text in texts]
    right = [Fields({"code": text.split()[-1][:-1]}) for text in texts]
    assert sum(one == other for one, other in zip(together, alone, strict=True)) >= 11
    assert sum(one == other for one, other in zip(together, right, strict=True)) >= 11


def test_a_value_that_does_not_end_in_time_is_cut_off(model_path: Callable[[str], Path]) -> None:
    engine = engine_for(model_path(SMALL), max_answer_tokens=12)
    asked = question(kind="extract", fields={"words": {"type": "string", "pattern": "[a-z ]{150,200}", "copy": False}})
    (given,) = answers(engine, asked, ["Once upon a time there was a lamp."])
    engine.close()
    assert isinstance(given.answer, Malformed)
    assert given.answer.defect is Defect.CUT_OFF
    assert "words" in given.answer.detail
    assert given.raw_score is None
    assert given.usage.tokens_out == 12


def test_a_value_that_the_schema_refuses_is_malformed_and_names_the_field(engine: LlamaEngine) -> None:
    asked = question(
        kind="extract",
        fields={
            "n": {"type": "integer", "minimum": 1_000_000, "maximum": 1_000_001, "description": "7", "copy": False}
        },
    )
    (given,) = answers(engine, asked, ["The number is 7."])
    if isinstance(given.answer, Malformed):
        assert given.answer == Malformed(defect=Defect.MALFORMED, detail="field n is out of its range")
        assert given.raw_score is None
    else:
        assert given.answer in {Fields({"n": value}) for value in (None, 1_000_000, 1_000_001)}


def test_one_place_of_a_text_is_the_value_of_one_field_only_unless_it_may_be_shared(engine: LlamaEngine) -> None:
    def names(*, shared: bool) -> Question:
        spec = {"type": "string", "description": "name of a person", "shared": shared}
        return question(kind="extract", fields={name: dict(spec) for name in ("sender", "person", "writer")})

    text = "This is Ann Howard writing."
    for given in answers(engine, names(shared=False), [text]):
        assert isinstance(given.answer, Fields)
        spans = sorted(span for span in given.answer.spans.values() if isinstance(span[0], int))
        assert all(one[1] <= other[0] for one, other in pairwise(spans))
        assert given.raw_score is not None
        assert given.field_scores.keys() == given.answer.value.keys()
    (free,) = answers(engine, names(shared=True), [text])
    assert isinstance(free.answer, Fields)
    assert free.answer.value["person"] == free.answer.value["writer"] == "Ann Howard"
