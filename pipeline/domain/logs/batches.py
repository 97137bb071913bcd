"""Batches: events on their way into a store, counted where they are read, so that writing is all that is left to do."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pipeline.domain.logs.events import Event, hour_of

RowsOf: TypeAlias = Callable[[Sequence[Event], str], Sequence[Any]]
"""(events, name of their layout) → each as its store writes it; a module's function, for other processes call it."""


@dataclass(slots=True, kw_only=True)
class Seen:
    """How often a pattern came, and when."""

    events: int = 0
    first_at: dt.datetime | None = None
    last_at: dt.datetime | None = None
    hours: dict[dt.datetime, int] = field(default_factory=dict)
    """Beginning of an hour in UTC → events in it; those without a moment are in none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Events as their store writes them."""

    rows: Sequence[Any]
    patterns: Mapping[str, Seen]
    pattern_of: Sequence[int]
    """Of each row: which of the patterns, in their order."""
    days: frozenset[dt.date | None]
    """In UTC; None where there are events without a moment."""


def batch_of(events: Sequence[Event], layout: str, rows_of: RowsOf) -> Batch:
    """Return events as a batch."""
    numbers: dict[str, int] = {}
    seen: list[Seen] = []
    pattern_of: list[int] = []
    for event in events:
        number = numbers.setdefault(event.pattern, len(seen))
        if number == len(seen):
            seen.append(Seen())
        pattern_of.append(number)
        _count(seen[number], event.at)
    days: set[dt.date | None] = {hour.date() for one in seen for hour in one.hours}
    if any(event.at is None for event in events):
        days.add(None)
    patterns = dict(zip(numbers, seen, strict=True))
    return Batch(rows=rows_of(events, layout), patterns=patterns, pattern_of=pattern_of, days=frozenset(days))


def _count(seen: Seen, at: dt.datetime | None) -> None:
    seen.events += 1
    if at is None:
        return
    if seen.first_at is None or at < seen.first_at:
        seen.first_at = at
    if seen.last_at is None or at > seen.last_at:
        seen.last_at = at
    hour = hour_of(at)
    seen.hours[hour] = seen.hours.get(hour, 0) + 1
