"""How a Question becomes a request, what an endpoint's refusals take away from it, and the hardening of its text."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.openai_compatible.dialect import Dialect, Format, Parameter
from pipeline.adapters.openai_compatible.hardening import encodable, neutralised, restored
from pipeline.adapters.openai_compatible.request import body_of, has_patterns
from pipeline.domain.fields import FieldSpec
from pipeline.domain.steps import ClassifyStep, Example, ExtractStep
from pipeline.prompts import Question, question_of

CHOICE = question_of(
    ClassifyStep(
        name="topic",
        kind="classify",
        labels={"billing": "charges", "other": ""},
        examples=(Example(text="I paid twice", answer="billing"),),
    )
)
RECORD = question_of(
    ExtractStep(
        name="details",
        kind="extract",
        fields={
            "id": FieldSpec(type="string", pattern="[A-Z]{2}-[0-9]{4,}"),
            "ids": FieldSpec(type="list", pattern="[0-9]+"),
            "n": FieldSpec(type="number"),
        },
    )
)
CONTROLS = (
    "<|im_end|>",
    "<|im_start|>system",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<bos>",
    "<unused7>",
    "<0x0A>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "[TOOL_CALLS]",
    "<|reserved_special_token_3|>",
)


def body(question: Question, text: str = "hello", **dialect: Any) -> dict[str, Any]:  # noqa: ANN401 — any of its fields
    return body_of(question, text, replace(Dialect(), **dialect), model="m", max_answer_tokens=9)


def test_a_choice_is_asked_under_a_strict_schema_whose_answer_is_one_of_the_options() -> None:
    asked = body(CHOICE)["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["strict"] is True
    schema = asked["json_schema"]["schema"]
    assert schema["properties"]["answer"]["enum"] == ["billing", "other"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("form", Format)
def test_few_shot_answers_are_shown_in_the_form_that_is_asked_for(form: Format) -> None:
    messages = body(CHOICE, format=form)["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"] == '{"answer": "billing"}'
    assert '{"answer": "<label>"}' in messages[0]["content"]


def test_the_text_stands_in_the_last_user_turn_and_nowhere_else() -> None:
    for question in (CHOICE, RECORD):
        messages = body(question, "zebra <|im_end|>")["messages"]
        assert ["zebra" in message["content"] for message in messages] == [False] * (len(messages) - 1) + [True]
        assert "<|im_end|>" not in messages[-1]["content"]
        assert messages[-1]["role"] == "user"


def test_each_poorer_format_says_the_schema_in_another_way() -> None:
    formats: list[Any] = [body(RECORD, format=form).get("response_format") for form in Format]
    assert '"pattern"' in json.dumps(formats[Format.SCHEMA])
    assert '"pattern"' not in json.dumps(formats[Format.SCHEMA_WITHOUT_PATTERNS])
    assert formats[Format.OBJECT_WITH_SCHEMA]["schema"]["required"] == ["id", "ids", "n"]
    assert formats[Format.OBJECT] == {"type": "json_object"}
    assert formats[Format.PLAIN] is None
    for form in (Format.OBJECT, Format.PLAIN):
        assert '"required"' in body(RECORD, format=form)["messages"][0]["content"]


def test_without_a_system_role_its_text_moves_into_the_first_user_turn() -> None:
    for question in (CHOICE, RECORD):
        messages = body(question, system_role=False)["messages"]
        assert "system" not in [message["role"] for message in messages]
        assert messages[0]["content"].startswith(question.system)


def test_parameters_follow_the_dialect() -> None:
    rich = body(CHOICE)
    assert (rich["max_tokens"], rich["temperature"], rich["logprobs"], rich["top_logprobs"]) == (9, 0, True, 20)
    poor = body(CHOICE, top_logprobs=0, temperature=False, limit_name="max_completion_tokens")
    assert poor["max_completion_tokens"] == 9
    assert not {"max_tokens", "temperature", "logprobs", "top_logprobs"} & set(poor)


@pytest.mark.parametrize("parameter", list(Parameter))
def test_giving_up_a_parameter_ends_and_changes_the_request_each_time(parameter: Parameter) -> None:
    for question in (CHOICE, RECORD):
        dialect: Dialect | None = Dialect()
        seen: list[dict[str, Any]] = []
        while dialect is not None:
            request = body_of(question, "hello", dialect, model="m", max_answer_tokens=9)
            assert request not in seen
            seen.append(request)
            dialect = dialect.without(parameter, patterns=has_patterns(question.form))
        assert 2 <= len(seen) <= len(Format)


@pytest.mark.parametrize("control", CONTROLS)
def test_no_control_token_survives_in_the_text(control: str) -> None:
    hardened = neutralised(f"before{control}after")
    assert control not in hardened
    assert restored(hardened) == f"before{control}after"


@pytest.mark.parametrize("text", ["a < b > c", "[ERROR] disk [2024-01-02]", "x<y", "1 <2 and 3> 2", "[inst]", "->"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert neutralised(text) == text


pieces = st.lists(st.sampled_from([*CONTROLS, "<", ">", "[", "]", "|", "/", " ", "  ", "INST", "a", "\n", "\u2060"]))


@given(pieces.map("".join) | st.text())
def test_hardening_is_undone_exactly_and_leaves_no_known_control_token(text: str) -> None:
    hardened = neutralised(text)
    assert restored(hardened) == text
    assert not [control for control in CONTROLS if control.startswith(("<", "[")) and control in hardened]


@given(st.text(st.characters()))
def test_any_text_can_be_encoded_afterwards(text: str) -> None:
    assert encodable(text).encode().decode() == encodable(text)
    assert encodable("\ud800x") == "\ufffdx"
