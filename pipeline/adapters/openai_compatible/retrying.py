"""When a request is tried again: so often each, and so many of all, that an endpoint in trouble gets no more work.

A wait is what the endpoint asks for and a little more, else 0.5 s doubled up to 8 s, less a random share of up to a
half. A wish to wait longer than 30 s is passed on as an outage, for the tier to pause. A time-out is retried once, as
it has already cost `timeout_s`.

The budget of all requests together is the one that RPC libraries use: every answer earns a quarter of a retry, up to 20
may be saved. So where more than one in five requests fails for long, the tier pauses instead.
"""

import random
from dataclasses import dataclass
from typing import Final

from pipeline.adapters.openai_compatible.failures import Failure, Fault

LONGEST_WAIT_S: Final = 30.0
_FIRST_WAIT_S, _LONGEST_BACKOFF_S = 0.5, 8.0
_MOST_SAVED, _EARNED = 20.0, 0.25


@dataclass(slots=True, kw_only=True)
class Retries:
    """How often this engine still tries again."""

    each: int
    saved: float = _MOST_SAVED

    def answered(self) -> None:
        """Earn a part of a retry by an answer."""
        self.saved = min(_MOST_SAVED, self.saved + _EARNED)

    def wait_s(self, fault: Fault, tries: int) -> float | None:
        """Return how long to wait before another try; None when there should be none. Spends from the budget."""
        allowed = min(self.each, 1) if fault.timed_out else self.each
        if fault.failure is not Failure.TRANSIENT or tries >= allowed or self.saved < 1.0:
            return None
        wait_s: float = min(_FIRST_WAIT_S * 2**tries, _LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)
        if fault.retry_after_s is not None:
            if fault.retry_after_s > LONGEST_WAIT_S:
                return None
            wait_s = max(wait_s, fault.retry_after_s * random.uniform(1.0, 1.1))
        self.saved -= 1.0
        return wait_s
