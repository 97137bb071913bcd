"""Events: lines of a log file gathered (a stack trace belongs to the line before it), read and keyed.

What a line says does not depend on any other kind of line: its pattern is its key. So any number of readers come to the
same patterns in any order, and reading a file again changes nothing. Which patterns are of one kind is a matter of all
patterns, see `kinds`.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.domain.logs.layouts import Header, Layout
from pipeline.domain.logs.masks import VARIABLE
from pipeline.domain.logs.merging import merged
from pipeline.domain.logs.moments import FRACTION, micro_of, moment_of
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


@dataclass(slots=True, kw_only=True)
class Reading:
    """A file on its way: what comes again is worked out once. `latest` tells the year where headers do not."""

    layout: Layout
    latest: dt.datetime
    shapes: Shapes = field(default_factory=Shapes)
    _moments: dict[tuple[str | None, ...], dt.datetime | None] = field(default_factory=dict)

    def events(self, lines: Iterable[RawLine]) -> Iterator[Event]:
        """Read lines; one that does not begin as the layout says belongs to the event before it, blank ones to none."""
        gathered: list[RawLine] = []
        header: Header | None = None
        for line in lines:
            if not line.text or line.text.isspace():
                continue
            found = self.layout.header(line.text)
            if gathered and (found is not None or len(gathered) > _MOST_FOLLOWING):
                yield self._event(gathered, header)
                gathered = []
            if not gathered:
                header = found
            gathered.append(line)
        if gathered:
            yield self._event(gathered, header)

    def _event(self, lines: Sequence[RawLine], header: Header | None) -> Event:
        """Return the event of a line and those that follow it."""
        fields, content, following = header or Header({}, lines[0].text.rstrip())
        pattern, values = self.shapes.read(content)
        if len(lines) > 1:
            following = "\n".join([*([following] if following else []), *[one.text for one in lines[1:]]])
        return Event(
            line=lines[0].number,
            header=fields,
            pattern=pattern,
            values=values,
            following=following,
            at=self.moment(fields),
        )

    def moment(self, fields: Mapping[str, str]) -> dt.datetime | None:
        """Return when a line was written, as `moment_of` tells it."""
        time, zone = fields.get("time", ""), ""
        if time.endswith("Z"):
            time, zone = time[:-1], "Z"
        for sign in (
            ",." if "timestamp" not in fields else ""
        ):  # most lines share their second with others, few their fraction of it
            second, _, fraction = time.rpartition(sign)
            if ":" in second and FRACTION.fullmatch(fraction):
                found = self._looked_up({**fields, "time": second + zone})
                if found is not None:
                    return found.replace(microsecond=micro_of(fraction))
        return self._looked_up(fields)

    def _looked_up(self, fields: Mapping[str, str]) -> dt.datetime | None:
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
