"""The real clock."""

import datetime as dt
import time


class SystemClock:
    """Wall time in UTC, the system's monotonic clock, real waiting."""

    def now(self) -> dt.datetime:
        """Return the time of day, in UTC."""
        return dt.datetime.now(dt.UTC)  # noqa: TID251 — this is the clock that is passed in

    def monotonic_s(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
