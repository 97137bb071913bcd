"""The report of a time: which kinds of events are new, which vanished, and which came much more often than before."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from pipeline.domain.logs.nights import Report, Told
from pipeline.ports.logs import Rate

_BURST_TIMES = 3.0
_BURST_LEAST = 20
"""A burst comes so many times as often as in a time before, and so often at least."""
DAY = dt.timedelta(days=1)


def reported(
    rates: Sequence[Rate],
    template_of: Mapping[str, str],
    *,
    until: dt.datetime,
    length: dt.timedelta = DAY,
    against: int,
    answers: Mapping[str, Mapping[str, str]] | None = None,
) -> Report:
    """Compare the time before `until` with the `against` before it that had events; the most frequent kinds first.

    Hours count for the time in which they begin. `answers` are by template.
    """
    times: dict[int, Counter[str]] = defaultdict(Counter)
    for one in rates:
        times[-((one.hour - until) // length)][template_of[one.pattern]] += one.events
    before = [times[number] for number in range(2, against + 2) if number in times]
    usual: Counter[str] = sum(before, Counter())
    now = times.get(1, Counter())
    told = [
        Told(
            template=one,
            events=now[one],
            usual=round(usual[one] / len(before), 1) if before else 0.0,
            answers=(answers or {}).get(one),
        )
        for one in {*now, *usual}
    ]
    told.sort(key=lambda one: (-one.events, -one.usual, one.template))
    return Report(
        since=until - length,
        until=until,
        events=now.total(),
        kinds=len(now),
        against=len(before),
        new=tuple(one for one in told if before and one.usual == 0 and one.events),
        vanished=tuple(one for one in told if not one.events),
        bursts=tuple(one for one in told if one.usual and one.events >= max(_BURST_LEAST, _BURST_TIMES * one.usual)),
    )
