"""Values that stand in a text: what a copied field may be, found by rules, so that a model only has to choose.

A field that is copied takes one of the text's own values or null, and so can't be invented. Numbers are read in the
notations of different countries, dates in words and figures; where a notation means two things, both are offered, with
the same span. Free strings have too many spans to list (`is_listed`): they are held to the text letter by letter while
they are written.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.domain.answers import FieldValue
from pipeline.domain.dates import dates_in
from pipeline.domain.fields import FieldSpec

MOST_CANDIDATES = 200
"""A text with more is full of tables; the first ones are offered."""
_JOINED_FROM = 0x2E80
"""Scripts from here on (Chinese, Japanese, Korean …) write words without blanks between them."""
# A number stands by itself: not in an order number, a date, a time, a version or an address.
_NUMBER = re.compile(
    r"(?<![\w.,:/-])(?<![A-Za-z0-9][-/:.,])[-+]?"
    r"(?P<whole>[0-9]{1,3}(?:(?P<group>[.,'\u2019\u00a0\u202f ])[0-9]{3})(?:(?P=group)[0-9]{3})*|[0-9]+)"
    r"(?:(?P<point>[.,])(?P<part>[0-9]{1,9}))?"
    r"(?![.,]?[0-9])(?![-/:]\w)"
)
_CURRENCY = re.compile(r"(?<![A-Za-z])(?:EUR|USD|GBP|CHF|CAD|AUD|JPY|SEK|NOK|DKK|PLN|INR|Rs\.?)(?=[0-9])")


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


def _all(spec: FieldSpec, text: str) -> Iterator[Candidate]:
    match spec.scalar:
        case "string":
            yield from _matches(spec, text)
        case "number" | "integer":
            yield from _numbers(text)
        case "date":
            for day, start, end in dates_in(text):
                yield Candidate(day.isoformat(), json.dumps(day.isoformat()), start, end)


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


def _numbers(text: str) -> Iterator[Candidate]:
    spaced = _CURRENCY.sub(lambda found: " " * len(found[0]), text)  # "EUR64" is no word
    for found in _NUMBER.finditer(spaced):
        for literal in _readings(found):
            number = float(literal) if "." in literal else int(literal)
            yield Candidate(number, literal, found.start(), found.end())


def _without_zeros(digits: str) -> str:
    # Not by way of int, which refuses the thousands of digits that a line of a log may have.
    return digits.lstrip("0") or "0"


def _readings(found: "re.Match[str]") -> Iterator[str]:
    """Yield what a number may mean, as JSON writes it, the likelier reading first."""
    sign = "-" if found[0].startswith("-") else ""
    whole, group, point, part = found["whole"], found["group"], found["point"], found["part"]
    if group is not None and group == point:  # 1.249.00 is neither
        return
    if group is None:
        digits = _without_zeros(whole)
        if len(digits) <= 15:  # noqa: PLR2004 — what a double holds
            yield f"{sign}{digits}.{part}" if part else f"{sign}{digits}"
        if point is not None and part is not None and len(part) == 3 and len(whole) <= 3:  # noqa: PLR2004
            yield f"{sign}{int(whole + part)}"
        return
    joined = _without_zeros(whole.replace(group, ""))
    if len(joined) <= 15:  # noqa: PLR2004
        yield f"{sign}{joined}.{part}" if part else f"{sign}{joined}"
    if part is None and group in ".," and whole.count(group) == 1:
        yield f"{sign}{int(whole.split(group)[0])}.{whole.split(group)[1]}"
