"""Reading: lines of a file become events, what comes again and again being worked out once."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TypeAlias

from pipeline.domain.logs.events import Event
from pipeline.domain.logs.layouts import Layout, Line
from pipeline.domain.logs.moments import micro_of, moment_of, without_fraction
from pipeline.domain.logs.shapes import Known, Shapes, shape_of, widened

_TELLING = ("timestamp", "date", "month", "day", "time")
"""Header fields that tell when a line was written."""
_MOST = 20_000
"""Shapes of lines, and moments, that are remembered; then all are forgotten, for most of them never come again."""
_MOST_ALIKE = 64
"""Lines of one shape that are remembered apart, as of `tty1` to `tty9`."""
_MOST_FOLLOWING = 200
"""Lines that one event takes along; what comes behind them stands for itself."""

_Moments: TypeAlias = dict[str, dt.datetime | None]


@dataclass(frozen=True, slots=True)
class _Told:
    """Where lines of one shape tell when they were written."""

    said: slice
    """Here stands all that tells it, but for a fraction of a second."""
    fraction: slice
    """Empty: there is none, or it is among the above."""
    moments: _Moments
    """By what stands there."""


_UNTOLD = _Told(slice(0, 0), slice(0, 0), {"": None})


@dataclass(frozen=True, slots=True)
class _Shaped:
    """What is known of all lines of one shape: where they say what. Places are in the whole line."""

    names: tuple[str, ...]
    content: Known
    told: _Told
    cut: Callable[[str], tuple[str, ...]]
    """Returns the fields of a line, its values, and what its moment is told by."""


@dataclass(slots=True, kw_only=True)
class Reading:
    """A file on its way. `latest` tells the year where headers do not."""

    layout: Layout
    latest: dt.datetime
    shapes: Shapes = field(default_factory=Shapes)
    _lines: dict[str, list[_Shaped | None]] = field(default_factory=dict)
    """By the shapes of lines; None: they have no header."""
    _moments: dict[tuple[object, ...], _Moments] = field(default_factory=dict)
    """By where and as what the fields stand."""

    def events(
        self, texts: Sequence[str], *, first_line: int = 1, shapes: Iterable[str] | None = None
    ) -> Iterator[Event]:
        """Read lines; one that does not begin as the layout says belongs to the event before it, blank ones to none.

        `shapes` are the lines with their digits made equal, where they are at hand.
        """
        read: Callable[[str, str, int], Event | None]
        read = self._recalled if self.layout.told_by_shape else self._parsed
        current: Event | None = None
        following: list[str] = []
        number = first_line - 1
        for text, shape in zip(texts, map(shape_of, texts) if shapes is None else shapes, strict=True):
            number += 1
            if not text or text.isspace():
                continue
            event = read(text, shape, number)
            if event is None:
                if current is not None and len(following) < _MOST_FOLLOWING:
                    following.append(text)
                    continue
                pattern, values = self.shapes.read(text.rstrip())
                event = Event(line=number, header={}, pattern=pattern, values=values, following="")
            if current is not None:
                yield _whole(current, following)
                following = []
            current = event
        if current is not None:
            yield _whole(current, following)

    def _parsed(self, text: str, _: str, number: int) -> Event | None:
        """Return the event of a line by its layout; None where it has no header."""
        found = self.layout.header(text)
        if found is None:
            return None
        pattern, values = self.shapes.read(found.content)
        at = self.moment(found.fields)
        return Event(line=number, header=found.fields, pattern=pattern, values=values, following=found.following, at=at)

    def _recalled(self, text: str, shape: str, number: int) -> Event | None:
        """Return the same by what is known of its shape: no layout and no mask tells one digit from another."""
        alike = self._lines.get(shape)
        if alike is None:
            wide = widened(text)
            alike = self._lines.get(wide)
            if alike is None:
                if len(self._lines) >= _MOST:
                    self._lines.clear()
                alike = self._lines[wide] = [self._shaped(text)]
        line = _like(alike, text)
        if line is _NONE_OF_THEM:
            line = self._shaped(text)
            if len(alike) < _MOST_ALIKE:
                alike.append(line)
        if line is None:
            return None
        parts = line.cut(text)
        header = dict(zip(line.names, parts))  # noqa: B905 — what is behind them is cut off
        at = self._at(header, line.told, parts[-2], parts[-1])
        values = parts[len(line.names) : -2]
        return Event(line=number, header=header, pattern=line.content.pattern, values=values, following="", at=at)

    def _shaped(self, text: str) -> _Shaped | None:
        if not self.layout.fits(text):
            return None
        line = self.layout.read(text)
        content = self.shapes.known(text[line.content_at :].rstrip(), at=line.content_at)
        told = self._told(text, line)
        fields = [slice(one.start, one.end) for one in line.fields.values()]
        values = [slice(start, end) for start, end in content.spans]
        cut: Callable[[str], tuple[str, ...]] = itemgetter(*(*fields, *values, told.said, told.fraction))
        return _Shaped(names=tuple(line.fields), content=content, told=told, cut=cut)

    def _told(self, text: str, line: Line) -> _Told:
        telling = {name: line.fields[name] for name in _TELLING if name in line.fields}
        if not telling:
            return _UNTOLD
        start, end = min(one.start for one in telling.values()), max(one.end for one in telling.values())
        fraction_end, time = 0, telling.get("time")
        if time is not None and time.end == end and "timestamp" not in telling:
            second, fraction, _ = without_fraction(text[time.start : time.end])
            if fraction:
                end = time.start + len(second)
                fraction_end = end + 1 + len(fraction)
        where = (fraction_end > 0, *((name, one.start - start, one.end - start) for name, one in telling.items()))
        fraction_at = slice(end + 1, fraction_end) if fraction_end else slice(0, 0)
        return _Told(slice(start, end), fraction_at, self._moments.setdefault(where, {}))

    def _at(self, header: Mapping[str, str], told: _Told, said: str, fraction: str) -> dt.datetime | None:
        moments = told.moments
        if said not in moments:
            if len(moments) >= _MOST:
                moments.clear()
            fields = dict(header)
            if fraction:
                second, _, zone = without_fraction(header["time"])
                fields["time"] = second + zone
            moments[said] = moment_of(fields, latest=self.latest)
        at = moments[said]
        if not fraction:
            return at
        if at is None:
            return moment_of(header, latest=self.latest)
        return at.replace(microsecond=micro_of(fraction))

    def moment(self, fields: Mapping[str, str]) -> dt.datetime | None:
        """Return when a line was written, as `moment_of` tells it."""
        if "timestamp" not in fields:  # most lines share their second with others, few their fraction of it
            second, fraction, zone = without_fraction(fields.get("time", ""))
            if fraction:
                found = self._looked_up({**fields, "time": second + zone})
                if found is not None:
                    return found.replace(microsecond=micro_of(fraction))
        return self._looked_up(fields)

    def _looked_up(self, fields: Mapping[str, str]) -> dt.datetime | None:
        moments = self._moments.setdefault((), {})
        key = "\0".join([f"{name}={fields[name]}" for name in _TELLING if name in fields])
        if key not in moments:
            if len(moments) >= _MOST:
                moments.clear()
            moments[key] = moment_of(fields, latest=self.latest)
        return moments[key]


_NONE_OF_THEM = _Shaped((), Known("", (), ()), _UNTOLD, tuple)


def _like(alike: Sequence[_Shaped | None], text: str) -> _Shaped | None:
    """Return the line that a text has the digits of where digits stay."""
    for line in alike:
        if line is None:
            return None
        for at, literal in line.content.literals:
            if not text.startswith(literal, at):
                break
        else:
            return line
    return _NONE_OF_THEM


def _whole(event: Event, following: Sequence[str]) -> Event:
    if following:
        event.following = "\n".join([*([event.following] if event.following else []), *following])
    return event
