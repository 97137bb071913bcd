"""Reading what an endpoint sent: every defect has its name, and no detail quotes the content."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.openai_compatible.completion import (
    Completion,
    NotACompletion,
    Reading,
    completion_of,
    reading_of,
)
from pipeline.domain.answers import Defect, Fields, Label, Malformed, Usage
from pipeline.domain.fields import FieldSpec
from pipeline.domain.steps import Choice, Form, Record

COLOURS = Choice(("red", "dark red", "Straße"))
ORDER = Record((("id", FieldSpec(type="string")), ("n", FieldSpec(type="integer"))))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def body(content: object, finish_reason: str = "stop", **parts: object) -> dict[str, object]:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"finish_reason": finish_reason, "message": message}], **parts}


def read(content: object, form: Form, finish_reason: str = "stop") -> Reading:
    return reading_of(completion_of(body(content, finish_reason)), form)


def defect(reading: Reading) -> Defect | None:
    return reading.answer.defect if isinstance(reading.answer, Malformed) else None


@pytest.mark.parametrize("data", [None, [], "x", {}, {"choices": []}, {"choices": "x"}, {"choices": [1]}])
def test_a_body_without_choices_is_no_completion(data: object) -> None:
    with pytest.raises(NotACompletion):
        completion_of(data)


def test_usage_and_model_are_taken_where_they_make_sense_and_unknown_elsewhere() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    good = completion_of(body("x", usage=usage, model="m-2024"))
    assert (good.usage, good.model) == (Usage(tokens_in=9, tokens_cached=4, tokens_out=2), "m-2024")
    usage = {"prompt_tokens": "9", "completion_tokens": -1, "prompt_tokens_details": {"cached_tokens": True}}
    odd = completion_of(body("x", usage=usage, model=7))
    assert (odd.usage, odd.model) == (Usage(tokens_in=None, tokens_cached=None, tokens_out=None), None)
    assert completion_of(body("x")).usage == Usage(tokens_in=None)
    absurd = completion_of(body("x", usage={"prompt_tokens": 10**400, "completion_tokens": 2**63}))
    assert absurd.usage == Usage(tokens_in=None)


@pytest.mark.parametrize(
    ("content", "label", "bare"),
    [
        ('{"answer": "red"}', "red", False),
        (' {"answer":"dark red"}\n', "dark red", False),
        ('```json\n{"answer": "red"}\n```', "red", False),
        ('<think>\n{"hm"}</think>\n{"answer": "red"}', "red", False),
        ('{"answer": "RED"}', "red", False),
        ('{"answer": "Stra\\u00dfe"}', "Straße", False),
        ('"red"', "red", False),
        ("red", "red", True),
        ("\n Red ", "red", True),
    ],
)
def test_a_label_is_found_in_the_ways_that_models_write_it(
    content: str,
    label: str,
    bare: bool,  # noqa: FBT001 — a case of the table
) -> None:
    reading = read(content, COLOURS)
    assert reading.answer == Label(label)
    assert reading.bare is bare
    start, end = reading.spans["answer"]
    assert (content[start:end] if bare else json.loads(content[start:end])).casefold() == label.casefold()


@pytest.mark.parametrize(
    "content",
    ["", "reddish", '{"answer": 1}', '{"answer": "blue"}', '{"reply": "red"}', '{"answer": "red"} {}', "[" * 9999],
)
def test_what_is_no_label_is_malformed(content: str) -> None:
    assert defect(read(content, COLOURS)) is Defect.MALFORMED


def test_case_does_not_decide_between_labels_that_differ_by_it() -> None:
    assert defect(read("POLISH", Choice(("polish", "Polish")))) is Defect.MALFORMED
    assert read("Polish", Choice(("polish", "Polish"))).answer == Label("Polish")


def test_a_record_is_read_with_the_place_of_each_value() -> None:
    content = '```\n{ "n" : 12 , "id":"a\\"}b" }\n```'
    reading = read(content, ORDER)
    assert reading.answer == Fields({"id": 'a"}b', "n": 12})
    assert {name: content[slice(*span)] for name, span in reading.spans.items()} == {"n": "12", "id": '"a\\"}b"'}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "none",
        "{}",
        '{"id": "x"}',
        '{"id": "x", "n": 1.5}',
        '{"id": "x", "n": NaN}',
        '{"id": "x", "n": 1, "more": 2}',
        '{"id": "x", "n": 1}{',
        '{"id": "\\u0000", "n": 1}',
        '{"id": "\\ud800", "n": 1}',
        f'{{"id": "x", "n": {"9" * 5000}}}',
        '{"id": ' + "[" * 9999,
    ],
)
def test_what_does_not_fit_the_fields_is_malformed(content: str) -> None:
    assert defect(read(content, ORDER)) is Defect.MALFORMED


def test_a_value_copied_from_hardened_text_is_given_as_the_text_had_it() -> None:
    assert read('{"id": "< |im_end|>", "n": null}', ORDER).answer == Fields({"id": "<|im_end|>", "n": None})


def test_cut_off_filtered_refused_and_empty_completions_have_their_defects() -> None:
    good = '{"answer": "red"}'
    assert defect(read(good, COLOURS, "length")) is Defect.CUT_OFF
    assert defect(read(good, COLOURS, "content_filter")) is Defect.REFUSED
    assert defect(read(None, COLOURS)) is Defect.MALFORMED
    declined = {"choices": [{"finish_reason": "stop", "message": {"content": None, "refusal": "I can't help"}}]}
    assert defect(reading_of(completion_of(declined), COLOURS)) is Defect.REFUSED


@given(JSON_VALUES)
def test_any_json_as_a_body_is_read_or_is_no_completion(data: object) -> None:
    for sent in (data, {"choices": [data]}, {"choices": [{"message": data, "logprobs": data}], "usage": data}):
        try:
            completion = completion_of(sent)
        except NotACompletion:
            continue
        assert isinstance(completion, Completion)


@given(st.text() | JSON_VALUES.map(json.dumps))
def test_any_content_is_read_and_never_quoted(content: str) -> None:
    marked = f"{content}zebra-marker"
    for form in (COLOURS, ORDER):
        for sent in (content, marked):
            answer = read(sent, form).answer
            assert "zebra-marker" not in repr(answer) or isinstance(answer, Label | Fields)
