"""Values that stand in a text: what a copied field may be, found by rules, so that a model only has to choose.

A field that is copied takes one of the text's own values or null, and so can't be invented. Numbers and amounts of
money are read in the notations of different countries, dates in words and figures; where a notation means two things,
both are offered, with the same span. Free strings have too many spans to list (`is_listed`): they are held to the text
letter by letter while they are written.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.domain.answers import FieldValue, Span
from pipeline.domain.dates import dates_in
from pipeline.domain.fields import FieldSpec
from pipeline.domain.money import amounts_in
from pipeline.domain.numbers import numbers_in

MOST_CANDIDATES = 200
"""A text with more is full of tables; the first ones are offered."""
_JOINED_FROM = 0x2E80
"""Scripts from here on (Chinese, Japanese, Korean …) write words without blanks between them."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One value, and where the text says it."""

    value: FieldValue
    literal: str
    """As JSON writes it."""
    start: int
    end: int


def is_listed(spec: FieldSpec) -> bool:
    """Tell whether a copied field's candidates can be listed: all but free strings."""
    return spec.copied and not (spec.scalar == "string" and spec.pattern is None)


def candidates(spec: FieldSpec, text: str) -> list[Candidate]:
    """Return the different values of a text that a copied field may take, in the order of the text.

    One of a kind: where a value stands several times, the first place counts.
    """
    found: dict[str, Candidate] = {}
    for candidate in _all(spec, text):
        try:
            value = spec.parse_one(candidate.value)
        except ValueError:  # out of its range, no date of the calendar
            continue
        found.setdefault(candidate.literal, Candidate(value, candidate.literal, candidate.start, candidate.end))
        if len(found) >= MOST_CANDIDATES:
            break
    return list(found.values())


def is_boundary(text: str, at: int) -> bool:
    """Tell whether a word may begin or end at this place."""
    if at <= 0 or at >= len(text):
        return True
    before, behind = text[at - 1], text[at]
    if not (before.isalnum() and behind.isalnum()):
        return True
    return ord(before) >= _JOINED_FROM or ord(behind) >= _JOINED_FROM


def place_of(value: str, text: str) -> Span | None:
    """Return where a text first says a string that begins and ends with a word; None where it does not."""
    at = text.find(value) if value else -1
    while at >= 0:
        if is_boundary(text, at) and is_boundary(text, at + len(value)):
            return at, at + len(value)
        at = text.find(value, at + 1)
    return None


def _all(spec: FieldSpec, text: str) -> Iterator[Candidate]:
    match spec.scalar:
        case "string":
            yield from _matches(spec, text)
        case "number" | "integer":
            for literal, start, end in numbers_in(text):
                yield Candidate(float(literal) if "." in literal else int(literal), literal, start, end)
        case "date":
            for day, start, end in dates_in(text):
                yield Candidate(day.isoformat(), json.dumps(day.isoformat()), start, end)
        case "money":
            for amount, start, end in amounts_in(text):
                yield Candidate(amount, json.dumps(amount), start, end)


def _matches(spec: FieldSpec, text: str) -> Iterator[Candidate]:
    """Yield the longest match that ends at a word's end, for every word's beginning."""
    pattern = spec.compiled
    if pattern is None:
        return
    for start in range(len(text)):
        if not is_boundary(text, start):
            continue
        found = pattern.match(text, start)
        end = found.end() if found else start
        while end > start and not (is_boundary(text, end) and pattern.fullmatch(text, start, end)):
            end -= 1
        if end > start:
            value = text[start:end]
            yield Candidate(value, json.dumps(value, ensure_ascii=False), start, end)
