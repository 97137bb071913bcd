"""Placeholders for personal values: `[EMAIL 1]` goes out, and the value comes back in its place.

The same value has the same number within a text. A placeholder that the text itself holds is given to no value, so that
`restored(redacted(text))` is the text, whatever that is.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from pipeline.domain.answers import Answer, Defect, Fields, FieldValue, Malformed
from pipeline.domain.fields import FieldSpec, parse_object
from pipeline.domain.patterns import PatternError, either
from pipeline.domain.personal import Kind, personal_in
from pipeline.domain.steps import Form, Record

_PEEK = 3
"""Characters behind a value's first word by which it is looked for: many values may begin with the same word."""
_PLACEHOLDER = re.compile(r"\[[A-Z]{2,6} [0-9]{1,6}\]")
_NAKED = re.compile(r"\[?([A-Za-z]{2,6})[ _]([0-9]{1,6})\]?")
_ITS_PATTERN = r"\[[A-Z]{2,6} [0-9]{1,6}\]"
_WORD = re.compile(r"[^\W_]+")
_Place: TypeAlias = tuple[int, int, str]
"""Beginning, end, kind."""


@dataclass(frozen=True, kw_only=True)
class Redacted:
    """A text without its personal values, and the way back."""

    text: str
    values: Mapping[str, str]
    """Placeholder → what stands in its place in the text."""

    def __repr__(self) -> str:
        """Say how much was replaced, and show nothing of it."""
        return f"Redacted(chars={len(self.text)}, values={len(self.values)})"

    def restored(self, said: str) -> str:
        """Return a string with the values in place of their placeholders; one that is none of the text's stays."""
        naked = _NAKED.fullmatch(said)
        if naked and said not in _PLACEHOLDER.sub("", self.text):  # a model may leave out the brackets
            return self.values.get(f"[{naked[1].upper()} {naked[2]}]", said)
        return _PLACEHOLDER.sub(lambda match: self.values.get(match[0], match[0]), said)


def redacted(text: str, kinds: Collection[Kind]) -> Redacted:
    """Replace every personal value of these kinds, also where it stands a second time and no rule would know it."""
    names = _Names(text)
    spans: list[_Place] = [(one.start, one.end, one.kind) for one in personal_in(text, kinds)]
    known = {text[start:end]: kind for start, end, kind in spans}
    parts: list[str] = []
    at = 0
    for start, end, kind in _with_repeats(text, spans, known):
        parts += (text[at:start], names.of(text[start:end], known.get(text[start:end], kind)))
        at = end
    return Redacted(text="".join((*parts, text[at:])), values=names.values)


class _Names:
    """The placeholders of one text."""

    def __init__(self, text: str) -> None:
        self.values: dict[str, str] = {}
        self._taken = set(_PLACEHOLDER.findall(text))
        self._given: dict[str, str] = {}
        self._last: dict[str, int] = {}

    def of(self, value: str, kind: str) -> str:
        """Return the placeholder of a value: its own, or the next that is free."""
        if value not in self._given:
            number = self._last.get(kind, 0) + 1
            while (name := f"[{kind.upper()} {number}]") in self._taken:
                number += 1
            self._last[kind] = number
            self._given[value] = name
            self.values[name] = value
        return self._given[value]


def _with_repeats(text: str, spans: list[_Place], known: Mapping[str, str]) -> list[_Place]:
    """Return the spans and, between them, every other place where one of the values stands by itself, in order."""
    if not known:
        return []
    shapes: dict[str, set[tuple[int, int]]] = {}  # beginning → how much stands before it, and all the rest
    for value in known:
        first = _WORD.search(value)
        if first is not None:
            beginning = value[first.start() : first.end() + _PEEK]
            shapes.setdefault(beginning, set()).add((first.start(), len(value) - first.start()))
    longest_first = {beginning: sorted(rests, reverse=True) for beginning, rests in shapes.items()}
    found: list[_Place] = []
    waiting = iter((*spans, (len(text), len(text), "")))
    following, at = next(waiting), 0
    for word in _WORD.finditer(text):
        while word.start() >= following[1]:
            found.append(following)
            at = following[1]
            following = next(waiting)
        if word.start() < at or word.end() > following[0]:
            continue
        beginnings = [text[word.start() : word.end() + more] for more in range(_PEEK, -1, -1)]
        for before, rest in chain.from_iterable(longest_first.get(one, ()) for one in beginnings):
            start, end = word.start() - before, word.start() + rest
            if at <= start and end <= following[0] and text[start:end] in known and not text[end : end + 1].isalnum():
                found.append((start, end, known[text[start:end]]))
                at = end
                break
    return [*found, *(one for one in (following, *waiting) if one[1] > one[0])]


def opened(form: Form) -> Form:
    """Return a form whose fields with a pattern may be answered by a placeholder."""
    if not isinstance(form, Record):
        return form
    return Record(tuple((name, _opened(spec)) for name, spec in form.fields))


def _opened(spec: FieldSpec) -> FieldSpec:
    if spec.pattern is None:
        return spec
    try:
        pattern = either(spec.pattern, _ITS_PATTERN)
    except PatternError:  # the two together are too long: the answer is held to the pattern when it is back
        pattern = None
    return FieldSpec.model_validate({**spec.model_dump(), "pattern": pattern})  # a copy would keep what is compiled


def restored_answer(answer: Answer | Malformed, form: Form, redaction: Redacted) -> Answer | Malformed:
    """Return an answer with the text's own values, as its fields must have them; only records hold any."""
    if not (isinstance(answer, Fields) and isinstance(form, Record)):
        return answer
    values = {name: _restored(value, redaction) for name, value in answer.value.items()}
    try:
        return Fields(parse_object(form.as_dict(), values), answer.spans)
    except ValueError as error:
        return Malformed(defect=Defect.MALFORMED, detail=str(error))


def _restored(value: FieldValue, redaction: Redacted) -> object:
    if isinstance(value, tuple):
        return [_restored(part, redaction) for part in value]
    return redaction.restored(value) if isinstance(value, str) else value
