"""Events: lines of a log file gathered (a stack trace belongs to the line before it), read and keyed.

What a line says does not depend on any other kind of line: its pattern is its key. So any number of readers come to the
same patterns in any order, and reading a file again changes nothing. Which patterns are of one kind is a matter of all
patterns, see `kinds`.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pipeline.domain.errors import HeadraceError
from pipeline.domain.logs.headers import Layout
from pipeline.domain.logs.masks import VARIABLE
from pipeline.domain.logs.merging import merged
from pipeline.domain.logs.moments import moment_of
from pipeline.domain.logs.shapes import Shapes
from pipeline.domain.logs.words import split

_TELLING = ("timestamp", "date", "month", "day", "time")
"""Header fields that tell when a line was written."""
_MOST_MOMENTS = 10_000
_MOST_FOLLOWING = 200
"""Lines that one event takes along; what comes behind them stands for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLine:
    """A line of a file, decoded, without its end."""

    number: int
    """From 1."""
    text: str
    end: int = 0
    """Bytes of the file up to and with its end."""
    tail: bytes = b""
    """Its last bytes as they are stored, end included: by them the place is known again."""


@dataclass(frozen=True, slots=True, kw_only=True)
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
    last: RawLine | None = field(default=None, compare=False)
    """The last of its lines, where it was read from a file."""


def events(lines: Iterable[RawLine], layout: Layout, *, latest: dt.datetime) -> Iterator[Event]:
    """Read lines by a layout. One that does not begin as the layout says belongs to the event before it.

    Blank lines are passed over. `latest` tells the year where headers do not.
    """
    reading = _Reading(layout=layout, latest=latest)
    gathered: list[RawLine] = []
    header: _Header | None = None
    try:
        for line in lines:
            if not line.text.strip():
                continue
            found = reading.header(line.text)
            if gathered and (found is not None or len(gathered) > _MOST_FOLLOWING):
                yield reading.event(gathered, header)
                gathered = []
            if not gathered:
                header = found
            gathered.append(line)
    except HeadraceError:  # the file ends in damage: what came before is an event all the same
        if gathered:
            yield reading.event(gathered, header)
        raise
    if gathered:
        yield reading.event(gathered, header)


_Header: TypeAlias = tuple[dict[str, str], int]
"""Fields, and where the content begins."""


@dataclass(slots=True, kw_only=True)
class _Reading:
    """A file on its way: what comes again and again is worked out once."""

    layout: Layout
    latest: dt.datetime
    _shapes: Shapes = field(default_factory=Shapes)
    _moments: dict[tuple[str | None, ...], dt.datetime | None] = field(default_factory=dict)

    def header(self, text: str) -> _Header | None:
        """Return a line's header; None where it has none, which in plain files no line has."""
        return self.layout.fields(text)

    def event(self, lines: Sequence[RawLine], header: _Header | None) -> Event:
        """Return the event of a line and those that follow it."""
        line = lines[0]
        fields, at = header or ({}, 0)
        pattern, values = self._shapes.read(line.text[at:].rstrip())
        return Event(
            line=line.number,
            header=fields,
            pattern=pattern,
            values=values,
            following="\n".join([one.text for one in lines[1:]]) if len(lines) > 1 else "",
            at=self._moment(fields),
            last=lines[-1],
        )

    def _moment(self, fields: Mapping[str, str]) -> dt.datetime | None:
        key = tuple([fields.get(name) for name in _TELLING])
        if key not in self._moments:
            if len(self._moments) > _MOST_MOMENTS:
                self._moments.clear()
            self._moments[key] = moment_of(fields, latest=self.latest)
        return self._moments[key]


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


def kinds(patterns: Iterable[str]) -> dict[str, str]:
    """Return the template of the kind that each pattern is of; the same for the same patterns in whatever order."""
    keys = {pattern: split(pattern) for pattern in sorted(set(patterns))}
    found = merged(keys.values())
    return {pattern: "".join(found[key]) for pattern, key in keys.items()}
