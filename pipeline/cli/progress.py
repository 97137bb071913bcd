"""Progress: a live bar on a terminal, a line now and then elsewhere, both on standard error."""

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from pipeline.cli.terminal import err
from pipeline.domain.runs import RunProgress
from pipeline.flow.follow import Pace

_LINE_EVERY_S = 10.0


def escalation_rate(now: RunProgress) -> float | None:
    """Return the share of answered (item, step) that the first tier did not answer; None before any was."""
    if not now.answered:
        return None
    first = sum(next(iter(step.verdicts.values()), 0) for step in now.steps.values())
    return 1 - first / now.answered


def money(now: RunProgress) -> str:
    """Write costs so that an unknown one is seen."""
    unknown = f" + {now.unknown_calls:,} calls of unknown cost" if now.unknown_calls else ""
    return f"${now.known_usd:.4f}{unknown}"


def describe(now: RunProgress, speed: Pace) -> str:
    """Write one line: items/s, escalation, cost, time left."""
    steps = max(1, len(now.steps))
    rate = "-" if speed.answers_per_s is None else f"{speed.answers_per_s / steps:,.1f}"
    escalated = escalation_rate(now)
    left = "-" if speed.seconds_left is None else _duration(speed.seconds_left)
    share = "-" if escalated is None else f"{escalated:.0%}"
    return f"{now.state.value}  {rate} items/s  escalated {share}  {money(now)}  left {left}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Display:
    """Shows reading and answering; a context manager. `quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Choose a live bar or lines by whether standard error is a terminal."""
        self._live = err.is_terminal and not quiet
        self._quiet = quiet
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[note]}"),
            console=err,
            transient=True,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._line_at_s = 0.0

    def __enter__(self) -> Self:
        """Begin to show."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the bar."""
        self._progress.stop()

    def bar(self, title: str, done: int, total: int, note: str = "") -> None:
        """Move a bar."""
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=max(total, 1), note="")
        self._progress.update(self._tasks[title], completed=done, total=max(total, 1), note=note)
        self._line(f"{title} {done / max(total, 1):.0%} {note}")

    def reading(self, done_bytes: int, total_bytes: int) -> None:
        """Show how much of the source is read."""
        self.bar("reading", done_bytes, total_bytes)

    def answering(self, now: RunProgress, speed: Pace) -> None:
        """Show how much is answered."""
        self.bar("answering", now.answered, now.asked, describe(now, speed))

    def _line(self, text: str) -> None:
        if self._live or self._quiet or time.monotonic() < self._line_at_s:
            return
        self._line_at_s = time.monotonic() + _LINE_EVERY_S
        err.print(text, markup=False, soft_wrap=True)
