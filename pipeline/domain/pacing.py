"""Rate limits of an endpoint, kept by giving every request its turn before it is sent.

Two clocks, one of requests and one of tokens: each stands at the moment from which on the next one may begin, and a
request moves it on by its share of a minute (the generic cell rate algorithm with a burst of one). At 120 requests a
minute turns are 0.5 s apart: 0, 0.5, 1.0 …
"""

from dataclasses import dataclass

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an endpoint allows; None where there is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.requests_per_minute is not None or self.tokens_per_minute is not None

    @property
    def request_s(self) -> float:
        """By how much a request moves the clock of requests."""
        return 0.0 if self.requests_per_minute is None else _MINUTE_S / self.requests_per_minute

    def tokens_s(self, tokens: int) -> float:
        """By how much so many tokens move the clock of tokens."""
        return 0.0 if self.tokens_per_minute is None else _MINUTE_S * tokens / self.tokens_per_minute


@dataclass(slots=True, kw_only=True)
class Turns:
    """Both clocks of one endpoint, in seconds of whoever's clock is used."""

    requests_at_s: float = 0.0
    tokens_at_s: float = 0.0

    def take(self, limits: Limits, tokens: int, *, now_s: float) -> float:
        """Take the next turn for a request of so many tokens; returns how many seconds to wait for it."""
        turn_s = max(now_s, self.requests_at_s, self.tokens_at_s)
        self.requests_at_s = max(now_s, self.requests_at_s) + limits.request_s
        self.tokens_at_s = max(now_s, self.tokens_at_s) + limits.tokens_s(tokens)
        return turn_s - now_s
