"""What an engine said, parsed into the step's schema, or why it could not be.

An Answer is a label, a set of labels, a number, an object of fields, or a text: enough for every kind of step that is
planned, so that a new kind needs no new store. What a model does wrong is a value here, never an exception.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

FieldValue: TypeAlias = "str | float | int | bool | tuple[FieldValue, ...] | None"

Plain: TypeAlias = "FieldValue | Mapping[str, FieldValue]"
"""An answer's bare value."""


@dataclass(frozen=True, slots=True)
class Label:
    """One of the allowed labels."""

    value: str


@dataclass(frozen=True, slots=True)
class Labels:
    """A set of the allowed labels, in the job's order."""

    value: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Level:
    """One of several ordered levels."""

    value: str
    expectation: float | None
    """Mean over all levels, weighted by their probabilities; None where the engine gives none."""


Span: TypeAlias = tuple[int, int]
"""Beginning and end, in characters of the item's text."""

Where: TypeAlias = Span | tuple[Span, ...]
"""Where the text says a value; of a list one span for each of its values, in their order."""


@dataclass(frozen=True, slots=True)
class Fields:
    """An object: field name → value; a field that is absent is None. Dates are ISO strings."""

    value: Mapping[str, FieldValue]
    spans: Mapping[str, Where] = field(default_factory=dict, compare=False)
    """Where the text says a value, where that is known: of a list for all of its values."""


@dataclass(frozen=True, slots=True)
class Text:
    """Free text: a summary, a draft."""

    value: str


Answer: TypeAlias = Label | Labels | Number | Level | Fields | Text


class Defect(StrEnum):
    """What a model (or the job's limits) did to an answer."""

    MALFORMED = "malformed"
    """It does not parse into the step's schema."""
    CUT_OFF = "cut_off"
    """The model was stopped at its token limit."""
    TOO_LONG = "too_long"
    """The text exceeds the tier's window or the length up to which its model is trusted."""
    REFUSED = "refused"
    """The endpoint's content filter or the model declined to answer."""
    NONE_FITS = "none_fits"
    """None of the labels fits, by what the tier has learned of such texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """No usable answer. `detail` says why without customer text or model output."""

    defect: Defect
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one answer, counted as if it had been asked alone; None where the engine does not say."""

    tokens_in: int | None
    """The whole prompt."""
    tokens_cached: int | None = None
    """How many of `tokens_in` were not read again (shared prefix, prompt cache)."""
    tokens_out: int | None = None


_KINDS: Mapping[str, type[Answer]] = {
    "label": Label,
    "labels": Labels,
    "number": Number,
    "level": Level,
    "fields": Fields,
    "text": Text,
}
_NAMES = {cls: name for name, cls in _KINDS.items()}


def expectation_of(answer: Answer | None) -> float | None:
    """Return a level's expectation; None for every other answer."""
    return answer.expectation if isinstance(answer, Level) else None


def spans_of(answer: Answer | None) -> Mapping[str, Where]:
    """Return where the text says a record's values; nothing for every other answer."""
    return answer.spans if isinstance(answer, Fields) else {}


def to_json(answer: Answer) -> dict[str, Any]:
    """Return the stored form: `{"kind": …, "value": …}`."""
    value: Any = answer.value
    if isinstance(value, Mapping):
        value = dict(value)
    elif isinstance(value, tuple):
        value = list(value)
    stored = {"kind": _NAMES[type(answer)], "value": value}
    if isinstance(answer, Level):
        stored["expectation"] = answer.expectation
    if isinstance(answer, Fields) and answer.spans:
        stored["spans"] = {name: plain_where(where) for name, where in answer.spans.items()}
    return stored


def plain_where(where: Where) -> list[Any]:
    """Return the JSON of a place: `[start, end]`, or of a list `[[start, end], …]`."""
    return [list(part) if isinstance(part, tuple) else part for part in where]


def _where(data: list[Any]) -> Where:
    if data and isinstance(data[0], list):
        return tuple((int(start), int(end)) for start, end in data)
    start, end = data
    return int(start), int(end)


def from_json(data: Mapping[str, Any]) -> Answer:
    """Read what `to_json` wrote; raises ValueError on anything else."""
    kind, value = data.get("kind"), data.get("value")
    if kind == "label" and isinstance(value, str):
        return Label(value)
    if kind == "labels" and isinstance(value, list):
        return Labels(tuple(value))
    if kind == "number" and isinstance(value, int | float):
        return Number(float(value))
    if kind == "level" and isinstance(value, str):
        expectation = data.get("expectation")
        return Level(value, None if expectation is None else float(expectation))
    if kind == "fields" and isinstance(value, Mapping):
        spans = {name: _where(where) for name, where in data.get("spans", {}).items()}
        return Fields({name: _frozen(part) for name, part in value.items()}, spans)
    if kind == "text" and isinstance(value, str):
        return Text(value)
    msg = f"not a stored answer: kind {kind!r}"
    raise ValueError(msg)


def _frozen(value: Any) -> FieldValue:  # noqa: ANN401 — JSON in, checked value out
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value
