"""Turns at endpoints: ports.pacing.TurnStore."""

from pipeline.adapters.memory.tables import Tables
from pipeline.domain.pacing import Limits, Turns


class PacingPart:
    """Gives every request its turn."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def take_turn(self, account: str, limits: Limits, tokens: int) -> float:
        """Take the next turn at an account; returns the seconds to wait for it."""
        with self._tables.lock:
            turns = self._tables.turns.setdefault(account, Turns())
            return turns.take(limits, tokens, now_s=self._tables.clock.now().timestamp())
