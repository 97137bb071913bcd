"""Turns: rate limits of endpoints that all workers share."""

from typing import Protocol

from pipeline.domain.pacing import Limits


class TurnStore(Protocol):
    """Gives every request its turn."""

    def take_turn(self, account: str, limits: Limits, tokens: int) -> float:
        """Take the next turn at an account for a request that may come to so many tokens; returns the seconds to wait.

        A turn is taken for good: one whose request is never sent is lost.
        """
        ...
