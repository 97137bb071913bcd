"""Follow a run until it ends, sweeping on the way."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.domain.runs import ENDED_STATES, RunProgress
from pipeline.ports.clock import Clock
from pipeline.ports.store import ReportStore

_LOOK_EVERY_S = 1.0
_TICK_S = 0.25
_RESTRAINT = 20.0
"""Counting a large run takes Postgres some time: look so seldom that it costs at most a twentieth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a followed run goes; None until something was seen to move."""

    answers_per_s: float | None
    seconds_left: float | None


def pace(first: RunProgress, now: RunProgress, elapsed_s: float) -> Pace:
    """Return the rate since the first look, and how long the rest takes at it."""
    moved = now.answered - first.answered
    if moved <= 0 or elapsed_s <= 0:
        return Pace(answers_per_s=None, seconds_left=None)
    rate = moved / elapsed_s
    return Pace(answers_per_s=rate, seconds_left=max(0, now.asked - now.answered) / rate)


def follow(
    store: ReportStore,
    run_id: int,
    *,
    clock: Clock,
    show: Callable[[RunProgress, Pace], None],
    tick: Callable[[], None] = lambda: None,
) -> RunProgress:
    """Show progress until the run has ended or waits for a person; `tick` is called several times a second."""
    started_s = clock.monotonic_s()
    first: RunProgress | None = None
    while True:
        asked_s = clock.monotonic_s()
        now = store.progress(run_id)
        took_s = clock.monotonic_s() - asked_s
        first = first or now
        show(now, pace(first, now, clock.monotonic_s() - started_s))
        if now.state in ENDED_STATES:
            return now
        wait_until_s = clock.monotonic_s() + max(_LOOK_EVERY_S, _RESTRAINT * took_s)
        while clock.monotonic_s() < wait_until_s:
            tick()
            clock.sleep(_TICK_S)
