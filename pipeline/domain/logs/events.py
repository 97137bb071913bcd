"""Events: lines of a log file gathered (a stack trace belongs to the line before it), read and keyed.

What a line says does not depend on any other kind of line: its pattern is its key. So any number of readers come to the
same patterns in any order, and reading a file again changes nothing. Which patterns are of one kind is a matter of all
patterns, see `kinds`.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.domain.logs.constants import Told, open_places
from pipeline.domain.logs.masks import VARIABLE
from pipeline.domain.logs.merging import merged
from pipeline.domain.logs.words import split


@dataclass(slots=True, kw_only=True)  # not frozen: made a hundred thousand times a second, which that would double
class Event:
    """A line with a header, and the lines that belong to it."""

    line: int
    header: Mapping[str, str]
    pattern: str
    """The content with `<*>` for what varies by its looks."""
    values: tuple[str, ...]
    """What stands in the pattern's places, as it is in the line."""
    following: str
    """Lines that belong to it, joined by line feeds; empty for most."""
    at: dt.datetime | None = None


def content_of(event: Event) -> str:
    """Return an event's content as it stood in its line, behind the header and without blanks at its end."""
    literals = event.pattern.split(VARIABLE)
    return literals[0] + "".join(value + literal for value, literal in zip(event.values, literals[1:], strict=False))


def hour_of(moment: dt.datetime) -> dt.datetime:
    """Return the beginning of a moment's hour, in UTC."""
    return moment.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)


def pattern_digest(pattern: str) -> bytes:
    """Return what a pattern is known by in an index."""
    return hashlib.sha256(pattern.encode("utf-8", "surrogatepass")).digest()[:16]


def kinds(patterns: Iterable[str], told: Told | None = None) -> dict[str, str]:
    """Return the template of the kind that each pattern is of; the same for the same patterns in whatever order.

    `told` is what models said of words that may be values.
    """
    keys = {pattern: split(pattern) for pattern in sorted(set(patterns))}
    found = merged(keys.values())
    open_places(found, told or {})
    return {pattern: "".join(found[key]) for pattern, key in keys.items()}
