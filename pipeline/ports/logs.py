"""What a store keeps of log files: events by day, the patterns they have, and how far each file was read."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.domain.logs.batches import Batch, RowsOf
from pipeline.domain.logs.events import Event
from pipeline.domain.logs.nights import Night


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a file was read, told by its content: renamed, compressed or copied it is still the same file."""

    head: bytes
    """Digest of its first line."""
    offset: int
    """Bytes that were read, uncompressed."""
    tail_length: int
    tail: bytes
    """Digest of the last so many bytes that were read."""
    line: int
    """Lines that were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """A file of a log, as far as it was read."""

    id: int
    name: str
    """As it was called when it was read last."""
    layout: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as it is found again."""

    file: str
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A pattern and how often it occurred."""

    pattern: str
    events: int
    first_at: dt.datetime | None
    """Of its events with a moment."""
    last_at: dt.datetime | None
    first_seen: dt.datetime
    """When it was stored first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often a pattern came in an hour."""

    pattern: str
    hour: dt.datetime
    """Its beginning, in UTC."""
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events to find; all that is given must hold."""

    patterns: Sequence[str] | None = None
    """One of these; None: any."""
    value: str | None = None
    """One of the event's values, or of its header's fields, is exactly this."""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    """From the first to before the second; events without a moment are left out by either."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Header field → what it says."""
    places: Mapping[str, Sequence[int]] | None = None
    """Pattern → which of its values (from 0) may say `said`, with or without an address before or a port behind it.

    Without any value: any event of the pattern. Other events only where the header's field `named` says it.
    """
    named: str = ""
    said: str = ""


class LogStore(Protocol):
    """Events of logs. A log is known by its name."""

    def log_lock(self, log: str) -> AbstractContextManager[bool]:
        """Hold the right to add to a log; yields False at once when another process holds it. Ends with the process."""
        ...

    def files(self, log: str, head: bytes) -> Sequence[LogFile]:
        """Return the files of a log whose first line has this digest, the farthest read first."""
        ...

    @property
    def rows_of(self) -> RowsOf:
        """What makes rows of events, as `add_events` wants them in a batch."""
        ...

    def add_events(
        self, log: str, file: LogFile | None, *, name: str, layout: str, place: Place, batch: Batch
    ) -> LogFile | None:
        """Store events and how far their file was read, in one transaction; `file` None is a new file.

        Returns the file as it stands now; None, and nothing is stored, where somebody else has read it on meanwhile.
        """
        ...

    def nights(self, log: str, *, limit: int) -> Sequence[Night]:
        """Return the nights of a log that are done, the latest first."""
        ...

    def add_night(self, night: Night) -> Night:
        """Keep a night that is done; returns it, or the one that was kept before as this log's for the same moment."""
        ...

    def answers(self, log: str, asked_by: str | None) -> Mapping[str, Mapping[str, str]]:
        """Return subject → step → answer, as `add_answers` kept it for `asked_by`; None: for whoever asked."""
        ...

    def add_answers(self, log: str, asked_by: str, answers: Mapping[str, Mapping[str, str]]) -> None:
        """Keep what is answered of a log's subjects (patterns, values); what others asked of one is forgotten."""
        ...

    def patterns(self, log: str) -> Sequence[Pattern]:
        """Return the patterns of a log, the commonest first; empty for a log that is not there."""
        ...

    def rates(self, log: str, *, since: dt.datetime, until: dt.datetime) -> Sequence[Rate]:
        """Return how often each pattern came in each hour that begins in a time; undated events are in none."""
        ...

    def find(self, log: str, wanted: Wanted, *, limit: int | None) -> Iterator[StoredEvent]:
        """Yield events by their moments, those without one at the end; in flat memory. `limit` None: all."""
        ...

    def latest(self, log: str, wanted: Wanted, *, limit: int) -> Sequence[StoredEvent]:
        """Return the events with the latest moments, by their moments; those without one are in none."""
        ...
