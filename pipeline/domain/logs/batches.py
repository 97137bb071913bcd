"""Batches: events on their way into a store, counted where they are read, so that writing is all that is left to do."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pipeline.domain.logs.events import Event

_HOUR_S = 3600
_HOUR = dt.timedelta(seconds=_HOUR_S)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

RowsOf: TypeAlias = Callable[[Sequence[Event], str], Any]
"""(events of one pattern, name of their layout) → these as their store writes them; other processes call it, so it is a
module's function."""


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
    """Events by their patterns."""

    rows: Mapping[str, Any]
    """Pattern → its events as their store writes them."""
    patterns: Mapping[str, Seen]
    days: frozenset[dt.date | None]
    """In UTC; None where there are events without a moment."""

    @property
    def events(self) -> int:
        """How many there are."""
        return sum(one.events for one in self.patterns.values())


def batch_of(events: Iterable[Event], layout: str, rows_of: RowsOf) -> Batch:
    """Return events as a batch."""
    groups: dict[str, list[Event]] = {}
    for event in events:
        group = groups.get(event.pattern)
        if group is None:
            groups[event.pattern] = [event]
        else:
            group.append(event)
    patterns = {pattern: _seen([event.at for event in group]) for pattern, group in groups.items()}
    days: set[dt.date | None] = {hour.date() for one in patterns.values() for hour in one.hours}
    if any(sum(one.hours.values()) < one.events for one in patterns.values()):
        days.add(None)
    rows = {pattern: rows_of(group, layout) for pattern, group in groups.items()}
    return Batch(rows=rows, patterns=patterns, days=frozenset(days))


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
