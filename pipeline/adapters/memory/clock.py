"""A clock that stands still until somebody waits."""

import datetime as dt
import threading

_START = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


class FakeClock:
    """Fulfils ports.clock.Clock; `sleep` moves the time on and returns at once."""

    def __init__(self, start: dt.datetime = _START) -> None:
        """Begin at a moment, in UTC."""
        self._start = start
        self._passed_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> dt.datetime:
        """Return the start and all that was slept since."""
        return self._start + dt.timedelta(seconds=self.monotonic_s())

    def monotonic_s(self) -> float:
        """Return all that was slept, in seconds."""
        with self._lock:
            return self._passed_s

    def sleep(self, seconds: float) -> None:
        """Move the time on; ValueError if backwards."""
        if seconds < 0:
            raise ValueError("time does not go back: sleep 0 seconds or more")
        with self._lock:
            self._passed_s += seconds
