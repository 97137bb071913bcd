"""What copied values may be, as bytes of JSON: spans of a text, or literals that were found in it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.domain.spans import is_boundary


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Values lie in `data` from a start up to an end that is not behind the start's limit, itself an end."""

    data: bytes
    limits: Mapping[int, int]
    """Start → the last end of values that begin there, in the order of starts."""
    ends: frozenset[int]
    starts: tuple[int, ...] = field(init=False)
    ordered_ends: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Keep the orders."""
        object.__setattr__(self, "starts", tuple(self.limits))
        object.__setattr__(self, "ordered_ends", tuple(sorted(self.ends)))


def spans_of_text(text: str, writable: frozenset[int]) -> Source:
    """Return the spans of a text that begin and end with a word and have no blank at their ends.

    `writable` are the bytes that a vocabulary can write singly. A span holds no others, and no character that cannot be
    stored.
    """
    pieces = [_escaped(char) for char in text]
    places = [0]
    for piece in pieces:
        places.append(places[-1] + len(piece))
    limits: dict[int, int] = {}
    ends: list[int] = []
    limit = 0  # the last end before the next character that no span holds
    for number in reversed(range(len(text))):
        if not _can_hold(text[number], pieces[number], writable):
            limit = 0
            continue
        blank = text[number].isspace()
        if not blank and is_boundary(text, number + 1):
            ends.append(places[number + 1])
            limit = limit or places[number + 1]
        if limit and not blank and is_boundary(text, number):
            limits[places[number]] = limit
    return Source(b"".join(pieces), dict(reversed(limits.items())), frozenset(ends))


def literals(values: Iterable[str], writable: frozenset[int]) -> Source:
    """Return values that are written in whole: each as JSON writes it, without quotes."""
    data = b""
    limits: dict[int, int] = {}
    for value in values:
        literal = value.encode()
        if literal and writable.issuperset(literal):
            limits[len(data)] = len(data) + len(literal)
            data += literal
    return Source(data, limits, frozenset(limits.values()))


def _escaped(char: str) -> bytes:
    return json.dumps(char, ensure_ascii=False)[1:-1].encode("utf-8", "replace")


def _can_hold(char: str, piece: bytes, writable: frozenset[int]) -> bool:
    return char != "\0" and not "\ud800" <= char <= "\udfff" and writable.issuperset(piece)
