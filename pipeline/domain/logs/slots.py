"""Slots: where a template's values stand in a line, and of what kind they are."""

from collections.abc import Sequence

from pipeline.domain.logs.masks import VARIABLE, Value, values_in

OTHER = "text"
"""The kind of a value that no mask knows."""


def slots_in(template: str, content: str) -> list[Value] | None:
    """Return the values of a line's slots; None where the line is none of the template's.

    A value that is what a mask knows has its kind, others are `text`. Each slot ends where what follows it comes first.
    """
    spans = spans_in(template, content)
    if spans is None:
        return None
    known = [part for value in values_in(content) for part in _address(value, content)]
    return [value for start, end in spans if start < end for value in _within(start, end, known, content)]


def spans_in(template: str, content: str) -> list[tuple[int, int]] | None:
    """Return where each slot's value begins and ends; None where the line is none of the template's.

    What stands between the slots is looked for from left to right, the last at the end: linear, and it misses none.
    """
    first, *others = template.split(VARIABLE)
    if not content.startswith(first) or (not others and len(content) != len(first)):
        return None
    spans, at = [], len(first)
    for number, literal in enumerate(others, 1):
        last = number == len(others)
        found = len(content) - len(literal) if last else content.find(literal, at)
        if found < at or not content.startswith(literal, found):
            return None
        spans.append((at, found))
        at = found + len(literal)
    return spans


def _address(value: Value, content: str) -> list[Value]:
    """Return an address and its port apart."""
    host, colon, port = content[value.start : value.end].rpartition(":")
    if value.kind not in {"ip", "host"} or not colon:
        return [value]
    middle = value.start + len(host)
    return [Value(value.kind, value.start, middle), Value("port", middle + 1, middle + 1 + len(port))]


def _within(start: int, end: int, known: Sequence[Value], content: str) -> list[Value]:
    """Return the known values that a slot holds, if nothing else but punctuation is in it; otherwise all of it."""
    inside = [value for value in known if start <= value.start and value.end <= end]
    rest, at = "", start
    for value in inside:
        rest += content[at : value.start]
        at = value.end
    rest += content[at:end]
    if inside and not any(map(str.isalnum, rest)):
        return inside
    return [Value(OTHER, start, end)]
