"""The report of a day: which kinds of events are new, which vanished, and which came much more often than before."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.ports.logs import Rate

_BURST_TIMES = 3.0
_BURST_LEAST = 20
"""A burst comes so many times as often as on a day before, and so often at least."""
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A kind of event that a report tells of."""

    template: str
    events: int
    """On the day."""
    usual: float
    """A day, in the days before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """What a day brought."""

    day: dt.date
    events: int
    kinds: int
    against_days: int
    """Days before that had any event at all."""
    new: tuple[Told, ...]
    vanished: tuple[Told, ...]
    bursts: tuple[Told, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {**asdict(self), "day": self.day.isoformat()}


def day_report(rates: Sequence[Rate], template_of: Mapping[str, str], day: dt.date, *, against: int) -> DayReport:
    """Compare a day with those of the `against` before it that had events; the most frequent kinds first."""
    by_day: dict[dt.date, Counter[str]] = defaultdict(Counter)
    for one in rates:
        by_day[one.hour.astimezone(dt.UTC).date()][template_of[one.pattern]] += one.events
    before = [by_day[day - number * _DAY] for number in range(1, against + 1) if day - number * _DAY in by_day]
    usual: Counter[str] = sum(before, Counter())
    today = by_day.get(day, Counter())
    told = [
        Told(template=one, events=today[one], usual=round(usual[one] / len(before), 1) if before else 0.0)
        for one in {*today, *usual}
    ]
    told.sort(key=lambda one: (-one.events, -one.usual, one.template))
    return DayReport(
        day=day,
        events=today.total(),
        kinds=len(today),
        against_days=len(before),
        new=tuple(one for one in told if before and one.usual == 0 and one.events),
        vanished=tuple(one for one in told if not one.events),
        bursts=tuple(one for one in told if one.usual and one.events >= max(_BURST_LEAST, _BURST_TIMES * one.usual)),
    )
