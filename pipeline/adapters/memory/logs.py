"""Events of logs: ports.logs.LogStore."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from pipeline.adapters.memory.tables import Tables
from pipeline.domain.logs.batches import Batch, RowsOf, Seen
from pipeline.domain.logs.events import Event, hour_of
from pipeline.domain.logs.nights import Night
from pipeline.ports.logs import LogFile, Pattern, Place, Rate, StoredEvent, Wanted

_LATE = dt.datetime.max.replace(tzinfo=dt.UTC)


@dataclass(slots=True)
class _Log:
    files: dict[int, LogFile] = field(default_factory=dict)
    events: list[tuple[int, Event]] = field(default_factory=list)
    """(file number, event)."""
    patterns: dict[str, Pattern] = field(default_factory=dict)
    held: bool = False
    nights: dict[dt.datetime, Night] = field(default_factory=dict)
    answers: dict[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    """By subject: who asked, and what was answered."""


class LogPart:
    """Logs by their names."""

    def __init__(self, tables: Tables) -> None:
        """Begin without any."""
        self._tables = tables
        self._logs: dict[str, _Log] = {}

    @contextmanager
    def log_lock(self, log: str) -> Iterator[bool]:
        """Hold the right to add to a log."""
        with self._tables.lock:
            found = self._log(log)
            free, found.held = not found.held, True
        try:
            yield free
        finally:
            if free:
                found.held = False

    def _log(self, log: str) -> _Log:
        return self._logs.setdefault(log, _Log())

    def files(self, log: str, head: bytes) -> Sequence[LogFile]:
        """Return the files of a log whose first line has this digest, the farthest read first."""
        with self._tables.lock:
            found = [one for one in self._log(log).files.values() if one.place.head == head]
        return sorted(found, key=lambda one: -one.place.offset)

    @property
    def rows_of(self) -> RowsOf:
        """What makes rows of events: they stay as they are."""
        return _as_they_are

    def add_events(
        self, log: str, file: LogFile | None, *, name: str, layout: str, place: Place, batch: Batch
    ) -> LogFile | None:
        """Store events and how far their file was read; None where somebody else has read it on meanwhile."""
        with self._tables.lock:
            into = self._log(log)
            if file is None:
                number = sum(len(one.files) for one in self._logs.values()) + 1
                file = LogFile(id=number, name=name, layout=layout, place=place)
            elif into.files[file.id].place != file.place:
                return None
            into.files[file.id] = replace(file, name=name, layout=layout, place=place)
            into.events += [(file.id, event) for rows in batch.rows.values() for event in rows]
            for pattern, seen in batch.patterns.items():
                into.patterns[pattern] = self._counted(into.patterns.get(pattern), pattern, seen)
            return into.files[file.id]

    def _counted(self, known: Pattern | None, pattern: str, seen: Seen) -> Pattern:
        if known is None:
            now = self._tables.clock.now()
            known = Pattern(pattern=pattern, events=0, first_at=None, last_at=None, first_seen=now)
        moments = [at for at in (known.first_at, known.last_at, seen.first_at, seen.last_at) if at is not None]
        first, last = (min(moments), max(moments)) if moments else (None, None)
        return replace(known, events=known.events + seen.events, first_at=first, last_at=last)

    def nights(self, log: str, *, limit: int) -> Sequence[Night]:
        """Return the nights of a log that are done, the latest first."""
        with self._tables.lock:
            return sorted(self._log(log).nights.values(), key=lambda one: one.due, reverse=True)[:limit]

    def add_night(self, night: Night) -> Night:
        """Keep a night that is done, unless there is one of the same moment."""
        with self._tables.lock:
            return self._log(night.log).nights.setdefault(night.due, night)

    def answers(self, log: str, asked_by: str | None) -> Mapping[str, Mapping[str, str]]:
        """Return subject → step → answer."""
        with self._tables.lock:
            return {subject: told for subject, (by, told) in self._log(log).answers.items() if asked_by in {None, by}}

    def add_answers(self, log: str, asked_by: str, answers: Mapping[str, Mapping[str, str]]) -> None:
        """Keep what is answered of a log's subjects."""
        with self._tables.lock:
            self._log(log).answers |= {subject: (asked_by, told) for subject, told in answers.items()}

    def patterns(self, log: str) -> Sequence[Pattern]:
        """Return the patterns of a log, the commonest first."""
        with self._tables.lock:
            found = list(self._log(log).patterns.values())
        return sorted(found, key=lambda one: (-one.events, one.pattern))

    def rates(self, log: str, *, since: dt.datetime, until: dt.datetime) -> Sequence[Rate]:
        """Return how often each pattern came in each hour that begins in a time."""
        with self._tables.lock:
            counts = Counter(
                (hour_of(event.at), event.pattern) for _, event in self._log(log).events if event.at is not None
            )
        return [
            Rate(pattern=pattern, hour=hour, events=count)
            for (hour, pattern), count in sorted(counts.items())
            if since <= hour < until
        ]

    def find(self, log: str, wanted: Wanted, *, limit: int | None) -> Iterator[StoredEvent]:
        """Yield events by their moments, those without one at the end."""
        with self._tables.lock:
            into = self._log(log)
            found = [(into.files[number], event) for number, event in into.events if _is_wanted(event, wanted)]
        found.sort(key=lambda one: (one[1].at or _LATE, one[0].name, one[0].id, one[1].line))
        for file, event in found[:limit]:
            yield StoredEvent(file=file.name, event=event)

    def latest(self, log: str, wanted: Wanted, *, limit: int) -> Sequence[StoredEvent]:
        """Return the events with the latest moments, by their moments."""
        return [one for one in self.find(log, wanted, limit=None) if one.event.at is not None][-limit:]


def _as_they_are(events: Sequence[Event], layout: str) -> Sequence[Event]:  # noqa: ARG001 — RowsOf
    return events


def _is_at(said: str, address: str) -> bool:
    """Whether it is an address with its port."""
    host, colon, port = said.rpartition(":")
    return bool(colon) and host == address and port.isdecimal()


def _may_be(said: str, wanted: str) -> bool:
    return said == wanted or said.startswith(f"{wanted}:") or said.endswith(f":{wanted}")


def _is_wanted(event: Event, wanted: Wanted) -> bool:
    if wanted.patterns is not None and event.pattern not in wanted.patterns:
        return False
    if wanted.since is not None and (event.at is None or event.at < wanted.since):
        return False
    if wanted.until is not None and (event.at is None or event.at >= wanted.until):
        return False
    said = (*event.values, *event.header.values())
    if wanted.value is not None and not any(one == wanted.value or _is_at(one, wanted.value) for one in said):
        return False
    if wanted.places is not None:
        places = wanted.places.get(event.pattern)
        may_be = places is not None and (
            not places or any(_may_be(event.values[place], wanted.said) for place in places)
        )
        if not may_be and event.header.get(wanted.named) != wanted.said:
            return False
    return all(event.header.get(name) == text for name, text in wanted.fields.items())
