"""Batches: events on their way into a store, counted where they are read, so that writing is all that is left to do."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pipeline.domain.logs.events import Event

_HOUR_S = 3600
_HOUR = dt.timedelta(seconds=_HOUR_S)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

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
    moments: list[list[dt.datetime | None]] = []
    pattern_of: list[int] = []
    for event in events:
        number = numbers.get(event.pattern)
        if number is None:
            number = numbers[event.pattern] = len(moments)
            moments.append([])
        pattern_of.append(number)
        moments[number].append(event.at)
    patterns = {pattern: _seen(at) for pattern, at in zip(numbers, moments, strict=True)}
    days: set[dt.date | None] = {hour.date() for one in patterns.values() for hour in one.hours}
    if any(sum(one.hours.values()) < one.events for one in patterns.values()):
        days.add(None)
    return Batch(rows=rows_of(events, layout), patterns=patterns, pattern_of=pattern_of, days=frozenset(days))


def _seen(moments: Sequence[dt.datetime | None]) -> Seen:
    there = [at for at in moments if at is not None]
    # As numbers, for they are many, and the hours few.
    hours = Counter([(at - _EPOCH) // _HOUR for at in there])
    return Seen(
        events=len(moments),
        first_at=min(there, default=None),
        last_at=max(there, default=None),
        hours={_EPOCH + hour * _HOUR: count for hour, count in hours.items()},
    )
