"""Loading: new lines of log files become stored events, each file going on where the last loading ended.

A block of events and how far its file was read are one transaction: whatever dies, the next loading goes on behind it.
"""

import datetime as dt
import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from typing import Protocol

from pipeline.domain.errors import ConfigError, ServiceError
from pipeline.domain.logs.batches import Batch
from pipeline.domain.logs.blocks import Block
from pipeline.domain.logs.detection import detect, layout_named
from pipeline.domain.logs.headers import PLAIN
from pipeline.domain.logs.layouts import Layout
from pipeline.flow.log_parsing import parse
from pipeline.ports.clock import Clock
from pipeline.ports.logs import LogFile, LogStore, Place

_LOOKED_AT = 200
"""Lines of a file by which its layout is told."""
_SETTLED_S = 0.5
"""A file that was not written to for so long has whole events; who writes a stack trace does not pause in it."""
_AHEAD = 8
"""Blocks that are read ahead of the one that is stored: so much there is for others to parse, and no more in memory."""


class Reader(Protocol):
    """A file that is read line by line."""

    @property
    def name(self) -> str:
        """What it is called now."""
        ...

    def head(self) -> bytes | None:
        """See LogFileReader."""
        ...

    def begins_like(self, place: Place) -> bool:
        """See LogFileReader."""
        ...

    def first_lines(self, count: int) -> Sequence[str]:
        """See LogFileReader."""
        ...

    def blocks(
        self, place: Place | None, begins: Callable[[str], bool], *, is_growing: Callable[[], bool] | None
    ) -> Iterator[Block]:
        """See LogFileReader."""
        ...

    def place(self, block: Block, head: bytes) -> Place:
        """See LogFileReader."""
        ...

    def size_bytes(self) -> int:
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

    @property
    def complaint(self) -> str:
        """The problem, with the file's name."""
        told = self.problem or ""
        return told if told.startswith(self.name) else f"{self.name}: {told}"


def load_file(
    store: LogStore,
    log: str,
    reader: Reader,
    *,
    layout: Layout | None = None,
    parsers: Executor,
    clock: Clock,
    show: Callable[[int, int], None],
) -> Loaded:
    """Store what a file has that is not stored yet; `show(events, bytes read)` is called as it goes on.

    Blocks are parsed by `parsers`, several at once if it can, and stored one after another in their order. Of a file
    that is being written the last event is left for the next time: more of it may come.
    """
    name, head = reader.name, reader.head()
    if head is None:
        return Loaded(name=name, layout=None, events=0, from_line=1, until_line=0)
    file = next((one for one in store.files(log, head) if reader.begins_like(one.place)), None)
    first_line = 1 if file is None else file.place.line + 1
    found = _layout(reader, file, layout)
    latest = dt.datetime.fromtimestamp(reader.modified_s(), dt.UTC)
    count, problem = 0, None
    growing = functools.partial(_is_growing, reader, clock, reader.size_bytes()) if found.spans_lines else None
    blocks = reader.blocks(None if file is None else file.place, found.fits, is_growing=growing)
    parsed = _parsed(blocks, lambda block: parsers.submit(parse, block, found.name, latest, store.rows_of))
    try:
        for block, batch in parsed:
            place = reader.place(block, head)
            file = store.add_events(log, file, name=name, layout=found.name, place=place, batch=batch)
            if file is None:
                problem = "another process has read it on meanwhile"
                break
            count += batch.events
            show(batch.events, block.end)
    except ConfigError as error:  # damaged in the middle: the blocks before are stored
        problem = str(error)
    until = 0 if file is None else file.place.line
    return Loaded(name=name, layout=found.name, events=count, from_line=first_line, until_line=until, problem=problem)


def _is_growing(reader: Reader, clock: Clock, size_bytes: int) -> bool:
    """Whether a file was written to while it was read, or is, looked at for a moment if it is fresh."""
    age_s = clock.now().timestamp() - reader.modified_s()
    if age_s < _SETTLED_S:
        clock.sleep(min(_SETTLED_S, _SETTLED_S - age_s))
    return reader.size_bytes() != size_bytes


def _layout(reader: Reader, file: LogFile | None, wanted: Layout | None) -> Layout:
    known = None if file is None else layout_named(file.layout)
    if file is not None and known is None:
        raise ConfigError(f"{reader.name} was begun with a layout that is not known here: load it under another name")
    if known is None or known.name == PLAIN:  # plain keeps no fields, so none would be read by another's names
        return wanted or detect(reader.first_lines(_LOOKED_AT))
    if wanted is not None and wanted.name != known.name:
        raise ConfigError(
            f"{reader.name} was begun with the layout {known.name}: leave --layout out, or load it under another name"
        )
    return known


def _parsed(blocks: Iterator[Block], submit: Callable[[Block], "Future[Batch]"]) -> Iterator[tuple[Block, Batch]]:
    """Yield each block with what is in it, in their order, while those behind it are parsed.

    Raises ConfigError where the blocks break off, when all before are done.
    """
    waiting: deque[tuple[Block, Future[Batch]]] = deque()
    problem = None
    while True:
        try:
            block = next(blocks, None)
        except ConfigError as error:
            block, problem = None, error
        if block is not None:
            waiting.append((block, submit(block)))
        while waiting and (block is None or len(waiting) > _AHEAD):
            first, batch = waiting.popleft()
            try:
                done = batch.result()
            except BrokenExecutor:
                raise ServiceError(
                    "a process that parses log lines was killed (is memory short? --processes 1 takes least): load "
                    "again, it goes on behind what is stored"
                ) from None
            yield first, done
        if problem is not None:
            raise problem
        if block is None:
            return
