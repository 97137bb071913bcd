"""Events: lines of a log file gathered (a stack trace belongs to the line before it), read and keyed.

What a line says does not depend on any other kind of line: its pattern is its key. So any number of readers come to the
same patterns in any order, and reading a file again changes nothing. Which patterns are of one kind is a matter of all
patterns, see `kinds`.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.domain.errors import HeadraceError
from pipeline.domain.logs.headers import PLAIN, Layout
from pipeline.domain.logs.masks import VARIABLE
from pipeline.domain.logs.merging import merged
from pipeline.domain.logs.moments import moment_of
from pipeline.domain.logs.slots import spans_in
from pipeline.domain.logs.words import key_of, split

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
    gathered: list[RawLine] = []
    try:
        for line in lines:
            if not line.text.strip():
                continue
            full = len(gathered) > _MOST_FOLLOWING
            if gathered and (full or layout.name == PLAIN or layout.fits(line.text)):
                yield _event(gathered, layout, latest)
                gathered = []
            gathered.append(line)
    except HeadraceError:  # the file ends in damage: what came before is an event all the same
        if gathered:
            yield _event(gathered, layout, latest)
        raise
    if gathered:
        yield _event(gathered, layout, latest)


def _event(lines: Sequence[RawLine], layout: Layout, latest: dt.datetime) -> Event:
    line = lines[0]
    read = layout.read(line.text)
    content = line.text[read.content_at :].rstrip()
    pattern = "".join(key_of(content))
    header = {name: line.text[one.start : one.end] for name, one in read.fields.items()}
    return Event(
        line=line.number,
        header=header,
        at=moment_of(header, latest=latest),
        last=lines[-1],
        pattern=pattern,
        values=tuple(content[start:end] for start, end in spans_in(pattern, content) or ()),
        following="\n".join(one.text for one in lines[1:]),
    )


def content_of(event: Event) -> str:
    """Return an event's content as it stood in its line, behind the header and without blanks at its end."""
    literals = event.pattern.split(VARIABLE)
    return literals[0] + "".join(value + literal for value, literal in zip(event.values, literals[1:], strict=False))


def pattern_digest(pattern: str) -> bytes:
    """Return what a pattern is known by in an index."""
    return hashlib.sha256(pattern.encode("utf-8", "surrogatepass")).digest()[:16]


def kinds(patterns: Iterable[str]) -> dict[str, str]:
    """Return the template of the kind that each pattern is of; the same for the same patterns in whatever order."""
    keys = {pattern: split(pattern) for pattern in sorted(set(patterns))}
    found = merged(keys.values())
    return {pattern: "".join(found[key]) for pattern, key in keys.items()}
