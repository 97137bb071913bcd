"""What came back, read without trust: any server may send anything.

`completion_of` reads the body of a chat completion; `reading_of` reads its content as the form's answer and says where
in the content each value stands, which is what `logprobs` needs. Details of a Malformed never quote the content.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.adapters.openai_compatible.hardening import restored
from pipeline.adapters.openai_compatible.logprobs import Token, token_of
from pipeline.domain.answers import Answer, Defect, Fields, Label, Malformed, Usage
from pipeline.domain.fields import parse_object
from pipeline.domain.steps import Choice, Form, Record
from pipeline.prompts import ANSWER_KEY

_BLANKS = " \t\n\r"
_FENCE = "```"
_THOUGHT_END = "</think>"
_OPENERS = ("{", "[", '"')
_MAX_MODEL_CHARS = 200
_MOST_TOKENS = 2**31 - 1


class NotACompletion(ValueError):
    """The endpoint answered 200 with something that is no chat completion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The parts of a chat completion that matter here."""

    content: str | None
    finish_reason: str | None
    refused: bool
    """The model itself declined (`message.refusal`)."""
    tokens: tuple[Token, ...]
    """Empty where the server gave no log-probabilities."""
    usage: Usage
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An answer, and the characters [start, end) of the content where each value is written."""

    answer: Answer | Malformed
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Field name → span of its JSON value; for a choice the one entry `answer`, of its JSON string or bare label."""
    bare: bool = False
    """The choice is written as the bare label, without quotes."""


def completion_of(body: object) -> Completion:
    """Read a decoded response body; raises NotACompletion when it has no choices."""
    data = _table(body)
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise NotACompletion
    message = _table(choices[0].get("message"))
    content, finish, model = message.get("content"), choices[0].get("finish_reason"), data.get("model")
    listed = _table(choices[0].get("logprobs")).get("content")
    tokens = [token_of(entry) for entry in listed] if isinstance(listed, list) else []
    return Completion(
        content=content if isinstance(content, str) else None,
        finish_reason=finish if isinstance(finish, str) else None,
        refused=bool(message.get("refusal")),
        tokens=() if None in tokens else tuple(token for token in tokens if token is not None),
        usage=_usage(_table(data.get("usage"))),
        model=model[:_MAX_MODEL_CHARS] if isinstance(model, str) and model else None,
    )


def reading_of(completion: Completion, form: Form) -> Reading:
    """Read the content as an answer of this form; what is wrong with it becomes a Malformed."""
    if completion.refused or completion.finish_reason == "content_filter":
        return _malformed(Defect.REFUSED, "the model or the endpoint's content filter declined to answer")
    if completion.finish_reason == "length":
        return _malformed(Defect.CUT_OFF, "the answer was cut off at the token limit (max_answer_tokens or the window)")
    if completion.content is None:
        return _malformed(Defect.MALFORMED, "the completion holds no text")
    start, end = _core(completion.content)
    if isinstance(form, Choice):
        return _choice(completion.content, start, end, form)
    return _record(completion.content, start, end, form)


def _choice(content: str, start: int, end: int, form: Choice) -> Reading:
    core = content[start:end]
    bare = _option(core, form)
    if bare is not None:
        return Reading(answer=Label(bare), spans={ANSWER_KEY: (start, end)}, bare=True)
    try:
        data, stop = _decoded(content, start)
    except ValueError:
        return _malformed(Defect.MALFORMED, "the answer is neither a label nor JSON")
    span = (start, stop)
    if isinstance(data, dict):
        span = _member_spans(content, start).get(ANSWER_KEY, span)
        data = data.get(ANSWER_KEY)
    label = _option(data, form) if isinstance(data, str) else None
    if label is None or stop != end:
        return _malformed(Defect.MALFORMED, "the answer is none of the labels")
    return Reading(answer=Label(label), spans={ANSWER_KEY: span})


def _record(content: str, start: int, end: int, form: Record) -> Reading:
    try:
        data, stop = _decoded(content, start)
        if stop != end:
            return _malformed(Defect.MALFORMED, "there is more than one JSON value in the answer")
    except ValueError:
        return _malformed(Defect.MALFORMED, "the answer is no JSON")
    try:
        values = parse_object(form.as_dict(), _restored(data))
    except ValueError as error:
        return _malformed(Defect.MALFORMED, str(error))
    return Reading(answer=Fields(values), spans=_member_spans(content, start))


def _option(text: str, form: Choice) -> str | None:
    """Return the option a text means: itself, or the only one that differs in letter case."""
    if text in form.options:
        return text
    alike = [option for option in form.options if option.casefold() == text.casefold()]
    return alike[0] if len(alike) == 1 else None


def _core(content: str) -> tuple[int, int]:
    """Return the span that remains without a leading <think> block, a Markdown fence, and blanks around."""
    start, end = _trimmed(content, 0, len(content))
    thought = -1 if content[start : start + 1] in _OPENERS else content.find(_THOUGHT_END)
    if thought >= 0:
        start, end = _trimmed(content, thought + len(_THOUGHT_END), end)
    if content.startswith(_FENCE, start) and content.endswith(_FENCE, start + len(_FENCE), end):
        line_end = content.find("\n", start, end)
        if line_end >= 0:
            start, end = _trimmed(content, line_end, end - len(_FENCE))
    return start, max(start, end)


def _trimmed(content: str, start: int, end: int) -> tuple[int, int]:
    core = content[start:end]
    left = len(core) - len(core.lstrip())
    return start + left, start + max(left, len(core.rstrip()))


def _decoded(content: str, start: int) -> tuple[Any, int]:
    """Decode one JSON value; every way to fail is a ValueError. Text that no database stores is refused as well."""
    try:
        data, stop = json.JSONDecoder().raw_decode(content, start)
        strings = _strings(data)
    except RecursionError:
        msg = "nested too deeply"
        raise ValueError(msg) from None
    strings.encode()  # a lone surrogate raises UnicodeEncodeError, a ValueError
    if "\0" in strings:
        msg = "holds a NUL character"
        raise ValueError(msg)
    return data, stop


def _strings(data: object) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, dict):
        return "".join(map(_strings, [*data.keys(), *data.values()]))
    return "".join(map(_strings, data)) if isinstance(data, list) else ""


def _restored(data: object) -> object:
    """Map hardened text back in an object's values."""
    if isinstance(data, str):
        return restored(data)
    if isinstance(data, list):
        return [_restored(part) for part in data]
    if isinstance(data, dict):
        return {name: _restored(part) for name, part in data.items()}
    return data


def _member_spans(content: str, start: int) -> dict[str, tuple[int, int]]:
    """Return where the values of a JSON object's members stand; the content is known to decode."""
    decoder, spans = json.JSONDecoder(), dict[str, tuple[int, int]]()
    at = _past_blanks(content, start + 1)
    while content[at : at + 1] == '"':
        name, at = decoder.raw_decode(content, at)
        at = _past_blanks(content, _past_blanks(content, at) + 1)  # the colon
        _, end = decoder.raw_decode(content, at)
        spans[name] = (at, end)
        at = _past_blanks(content, _past_blanks(content, end) + 1)  # the comma
    return spans


def _past_blanks(content: str, at: int) -> int:
    while content[at : at + 1] in _BLANKS and at < len(content):
        at += 1
    return at


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    """Return a count of tokens; what no endpoint can have counted, and no ledger holds, is unknown."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None


def _usage(data: Mapping[str, Any]) -> Usage:
    tokens_in = _count(data.get("prompt_tokens"))
    cached = _count(_table(data.get("prompt_tokens_details")).get("cached_tokens"))
    if tokens_in is None or (cached is not None and cached > tokens_in):
        cached = None
    return Usage(tokens_in=tokens_in, tokens_cached=cached, tokens_out=_count(data.get("completion_tokens")))


def _malformed(defect: Defect, detail: str) -> Reading:
    return Reading(answer=Malformed(defect=defect, detail=detail))
