"""Steps: what kinds there are, what their answers look like, and which ones a job may not hold."""

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.domain.steps import MAX_LABELS, SENTIMENTS, Choice, Record, Step

STEP: TypeAdapter[Step] = TypeAdapter(Step)


def step(kind: str, **keys: object) -> Step:
    return STEP.validate_python({"name": "s", "kind": kind, **keys})


def test_a_classify_step_is_a_choice_of_its_labels_in_their_order() -> None:
    assert step("classify", labels={"b": "second", "a": "first"}).form == Choice(("b", "a"))


def test_labels_may_be_a_plain_list() -> None:
    assert step("classify", labels=["b", "a"]) == step("classify", labels={"b": "", "a": ""})


def test_a_sentiment_step_is_a_choice_of_the_three() -> None:
    assert step("sentiment").form == Choice(SENTIMENTS)


def test_an_extract_step_is_a_record_of_its_fields_in_their_order() -> None:
    form = step("extract", fields={"z": {"type": "date"}, "a": {"type": "number"}}).form
    assert isinstance(form, Record)
    assert [(name, spec.type) for name, spec in form.as_dict().items()] == [("z", "date"), ("a", "number")]


@pytest.mark.parametrize(
    "labels",
    [
        ["one"],
        ["a", "a"],
        ["a", 1],
        ["a", ["b"]],
        ["a", " b"],
        ["a", ""],
        ["a", "x" * 101],
        ["a", "b\nc"],
        [str(number) for number in range(MAX_LABELS + 1)],
    ],
)
def test_labels_that_a_model_could_not_say_apart_are_refused(labels: list[object]) -> None:
    with pytest.raises(ValidationError):
        step("classify", labels=labels)


def test_a_few_hundred_labels_are_allowed() -> None:
    labels = tuple(f"label {number}" for number in range(MAX_LABELS))
    assert step("classify", labels=list(labels)).form == Choice(labels)


@pytest.mark.parametrize("name", ["two words", "x" * 41, "", "a-b", "9x"])
def test_field_names_are_identifiers(name: str) -> None:
    with pytest.raises(ValidationError):
        step("extract", fields={name: {"type": "string"}})


@pytest.mark.parametrize("name", ["Name", "a-b", "", "9", "x" * 41])
def test_step_names_are_plain(name: str) -> None:
    with pytest.raises(ValidationError):
        STEP.validate_python({"name": name, "kind": "sentiment"})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"kind": "sentiment", "examples": [{"text": "t", "answer": "happy"}]}, "example 1: the answer must be one of"),
        (
            {
                "kind": "classify",
                "labels": ["a", "b"],
                "examples": [{"text": "t", "answer": "a"}, {"text": "t", "answer": {}}],
            },
            "example 2: the answer must be one of: a, b",
        ),
        (
            {"kind": "extract", "fields": {"n": {"type": "number"}}, "examples": [{"text": "t", "answer": {"n": "x"}}]},
            "example 1: field n is no number",
        ),
        (
            {"kind": "extract", "fields": {"n": {"type": "number"}}, "examples": [{"text": "t", "answer": {"m": 1}}]},
            "example 1: the answer must be a table of the step's fields",
        ),
    ],
)
def test_an_example_whose_answer_does_not_fit_is_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        STEP.validate_python({"name": "s", **keys})


def test_an_example_may_leave_fields_out() -> None:
    fields = {"n": {"type": "number"}, "d": {"type": "date"}}
    made = step("extract", fields=fields, examples=[{"text": "t", "answer": {"n": 1}}])
    assert made.examples[0].answer == {"n": 1}
