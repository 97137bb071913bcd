"""Loading: new lines of log files become stored events, each file going on where the last loading ended.

A batch of events and how far its file was read are one transaction: whatever dies, the next loading goes on behind it.
"""

import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.domain.errors import ConfigError
from pipeline.domain.logs.events import Event, RawLine, events
from pipeline.domain.logs.headers import LAYOUTS, Layout, detect
from pipeline.ports.logs import LogFile, LogStore, Place

_BATCH = 10_000
_LOOKED_AT = 200


class Reader(Protocol):
    """A file that is read line by line."""

    @property
    def path(self) -> Path:
        """What it is called now."""
        ...

    def head(self) -> bytes | None:
        """See LogFileReader."""
        ...

    def begins_like(self, place: Place) -> bool:
        """See LogFileReader."""
        ...

    def lines(self, place: Place | None) -> Iterator[RawLine]:
        """See LogFileReader."""
        ...

    def place(self, line: RawLine, head: bytes) -> Place:
        """See LogFileReader."""
        ...

    def modified_s(self) -> float:
        """See LogFileReader."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What became of one file."""

    name: str
    layout: str | None
    """None: it has no complete line yet."""
    events: int
    from_line: int
    """The first line that was read now, from 1."""
    until_line: int
    problem: str | None = None
    """Why its reading ended early; what was read before is kept."""


def load_file(
    store: LogStore, log: str, reader: Reader, *, layout: Layout | None = None, show: Callable[[int], None]
) -> Loaded:
    """Store what a file has that is not stored yet; `show(events)` is called as it goes on."""
    name, head = str(reader.path), reader.head()
    if head is None:
        return Loaded(name=name, layout=None, events=0, from_line=1, until_line=0)
    file = next((one for one in store.files(log, head) if reader.begins_like(one.place)), None)
    first_line = 1 if file is None else file.place.line + 1
    found = _layout(reader, file, layout)
    latest = dt.datetime.fromtimestamp(reader.modified_s(), dt.UTC)
    read = events(reader.lines(None if file is None else file.place), found, latest=latest)
    count, problem = 0, None
    try:
        for batch in _batched(read):
            place = _behind(reader, batch, head)
            file = store.add_events(log, file, name=name, layout=found.name, place=place, events=batch)
            if file is None:
                problem = "another process has read it on meanwhile"
                break
            count += len(batch)
            show(len(batch))
    except ConfigError as error:  # damaged in the middle: the batches before are stored
        problem = str(error)
    until = 0 if file is None else file.place.line
    return Loaded(name=name, layout=found.name, events=count, from_line=first_line, until_line=until, problem=problem)


def _layout(reader: Reader, file: LogFile | None, wanted: Layout | None) -> Layout:
    if file is not None and file.layout in LAYOUTS:
        return LAYOUTS[file.layout]
    return wanted or detect(line.text for line in itertools.islice(reader.lines(None), _LOOKED_AT))


def _behind(reader: Reader, batch: Sequence[Event], head: bytes) -> Place:
    last = batch[-1].last
    if last is None:
        msg = "an event of a file has a last line"
        raise TypeError(msg)
    return reader.place(last, head)


def _batched(read: Iterator[Event]) -> Iterator[tuple[Event, ...]]:
    batch: list[Event] = []
    try:
        for event in read:
            batch.append(event)
            if len(batch) == _BATCH:
                yield tuple(batch)
                batch = []
    except ConfigError:
        if batch:
            yield tuple(batch)
        raise
    if batch:
        yield tuple(batch)
