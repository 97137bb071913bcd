"""Celery beat killed again and again: every night is done, once, and not much later than it is due."""

import contextlib
import datetime as dt
import signal
import time
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from pipeline.adapters.system_clock import SystemClock
from tests.acceptance.conftest import Shell

JOB = """
log = "chaos"
files = ["{folder}/app.log"]
at = "* * * * *"
timezone = "UTC"
reports = "{folder}/reports"
"""
_PATIENCE_S = 150.0


@dataclass(frozen=True, kw_only=True)
class Nights:
    """What came of a schedule whose keeper was killed."""

    kills: int
    lost_lines: int
    done_twice: int
    late_s: tuple[float, ...]
    """How long after it was due the first night after each kill was done."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def holds(self) -> bool:
        return not (self.lost_lines or self.done_twice)


def through_nights(shell: Shell, *, kills: int) -> Nights:
    """Kill beat after each of so many nights, each with a line of its own."""
    source = shell.folder / "app.log"
    job = shell.file("nights.toml", JOB.format(folder=shell.folder))
    source.write_text("", encoding="utf-8")
    keeping = shell.start("logs", "nightly", job)
    late, lines = [], 0
    try:
        _wait_for(shell, 0)
        for _ in range(kills):
            _beat(shell).kill()
            with source.open("a", encoding="utf-8") as file:
                file.write(f"Jun 14 15:16:01 combo app[1]: request {lines} done\n")
            lines += 1
            late.append(_wait_for(shell, lines))
    finally:
        keeping.send_signal(signal.SIGTERM)
        keeping.wait(60)
    nights = shell.json("logs", "nights", "chaos", "--limit", "1000")["nights"]
    dues = [one["due"] for one in nights]
    return Nights(
        kills=kills,
        lost_lines=lines - sum(one["loaded"] for one in nights),
        done_twice=len(dues) - len(set(dues)),
        late_s=tuple(late),
    )


def _beat(shell: Shell) -> psutil.Process:
    found: list[psutil.Process] = []

    def there() -> bool:
        for process in shell.processes():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if "beat" in words and not any(word.endswith("guard.py") for word in words):
                    found.append(process)
        return bool(found)

    shell.wait_until(there, "beat runs")
    return found[0]


def _wait_for(shell: Shell, lines: int) -> float:
    """Wait until so many lines are in; returns how long after it was due the night was done that brought the last."""
    until_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until_s:
        nights = shell.json("logs", "nights", "chaos", "--limit", "1000")["nights"]
        if nights and sum(one["loaded"] for one in nights) >= lines:
            due = dt.datetime.fromisoformat(nights[0]["due"])
            return round((SystemClock().now() - due).total_seconds(), 1)
        time.sleep(0.2)
    message = f"no night brought line {lines} in {_PATIENCE_S} s"
    raise AssertionError(message)
