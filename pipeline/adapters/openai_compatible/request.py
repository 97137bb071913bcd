"""A Question about a text, written as the body of a chat completion in the endpoint's dialect.

Customer text goes into the user's turn only, hardened. A choice is asked as `{"answer": "<label>"}` under a schema
whose `answer` is an enum of the options, a record under the schema of its fields.
"""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.adapters.openai_compatible.dialect import Dialect, Format
from pipeline.adapters.openai_compatible.hardening import encodable, neutralised
from pipeline.domain.fields import object_schema
from pipeline.domain.steps import Choice, Form
from pipeline.prompts import ANSWER_KEY, Question

_RECORD_WORDS = "Write only JSON that fits this schema: "


def schema_of(form: Form) -> dict[str, Any]:
    """Return the JSON schema of an answer."""
    if isinstance(form, Choice):
        enum = {"type": "string", "enum": list(form.options)}
        return {
            "type": "object",
            "properties": {ANSWER_KEY: enum},
            "required": [ANSWER_KEY],
            "additionalProperties": False,
        }
    return object_schema(form.as_dict())


def has_patterns(form: Form) -> bool:
    """Say whether the schema uses `pattern`."""
    return '"pattern"' in json.dumps(schema_of(form))


def body_of(question: Question, text: str, dialect: Dialect, *, model: str, max_answer_tokens: int) -> dict[str, Any]:
    """Return the arguments of `chat.completions.create`."""
    body: dict[str, Any] = {"model": model, "messages": _messages(question, text, dialect)}
    body[dialect.limit_name] = max_answer_tokens
    if dialect.temperature:
        body["temperature"] = 0
    if dialect.top_logprobs:
        body["logprobs"] = True
        body["top_logprobs"] = dialect.top_logprobs
    response_format = _response_format(question, dialect.format)
    if response_format is not None:
        body["response_format"] = response_format
    return body


def frame_chars(question: Question) -> int:
    """Return about how many characters a request holds besides the text."""
    shots = sum(len(turn) + len(answer) for turn, answer in question.shots)
    return len(question.system) + shots + len(question.before) + len(question.after)


def _messages(question: Question, text: str, dialect: Dialect) -> list[dict[str, str]]:
    turns = [(neutralised(encodable(turn)), answer) for turn, answer in question.shots]
    asked = question.framed(neutralised(encodable(text)))
    system = encodable(_system(question, dialect.format))
    if not dialect.system_role:
        if turns:
            turns[0] = (f"{system}\n\n{turns[0][0]}", turns[0][1])
        else:
            asked = f"{system}\n\n{asked}"
    messages = [{"role": "system", "content": system}] if dialect.system_role else []
    for turn, answer in turns:
        messages += [{"role": "user", "content": turn}, {"role": "assistant", "content": answer}]
    return [*messages, {"role": "user", "content": asked}]


def _system(question: Question, form: Format) -> str:
    if isinstance(question.form, Choice) or form < Format.OBJECT_WITH_SCHEMA:
        return question.system
    return f"{question.system}\n{_RECORD_WORDS}{json.dumps(schema_of(question.form), ensure_ascii=False)}"


def _response_format(question: Question, form: Format) -> dict[str, Any] | None:
    if form is Format.PLAIN:
        return None
    if form is Format.OBJECT:
        return {"type": "json_object"}
    schema = schema_of(question.form)
    if form is Format.OBJECT_WITH_SCHEMA:
        return {"type": "json_object", "schema": schema}
    if form is Format.SCHEMA_WITHOUT_PATTERNS:
        schema = _without_patterns(schema)
    return {"type": "json_schema", "json_schema": {"name": question.step, "strict": True, "schema": schema}}


def _without_patterns(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Drop `pattern` from each field's schema, which is `{"anyOf": [value or array of values, null]}`."""
    properties = {name: _value_without_pattern(field) for name, field in schema["properties"].items()}
    return {**schema, "properties": properties}


def _value_without_pattern(value: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: part for key, part in value.items() if key != "pattern"}
    if "anyOf" in plain:
        plain["anyOf"] = [_value_without_pattern(part) for part in plain["anyOf"]]
    if "items" in plain:
        plain["items"] = _value_without_pattern(plain["items"])
    return plain
