"""A vocabulary's pieces in the order of their bytes, so that those that begin alike are found without a look at all."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import TypeAlias

Reach: TypeAlias = tuple[int, int]
"""The pieces from the first number up to, not including, the second: all those that begin with some bytes."""
_HIGHEST = 0xFF


class Pieces:
    """The sorted pieces of a vocabulary."""

    def __init__(self, by_bytes: Mapping[bytes, tuple[int, ...]]) -> None:
        """Sort once: `by_bytes` says which tokens write a piece, none of which is empty."""
        self._by_bytes = by_bytes
        self._sorted = sorted(by_bytes)
        self.everything: Reach = (0, len(self._sorted))
        self.single_bytes = frozenset(piece[0] for piece in self._sorted if len(piece) == 1)
        """What can be written whatever stands before it."""

    def beginning(self, prefix: bytes, within: Reach) -> Reach:
        """Return the pieces that begin with `prefix`, one byte longer than what all of `within` begin with."""
        low = bisect_left(self._sorted, prefix, *within)
        if prefix[-1] == _HIGHEST:
            return low, within[1]
        return low, bisect_left(self._sorted, prefix[:-1] + bytes([prefix[-1] + 1]), low, within[1])

    def tokens(self, piece: bytes) -> tuple[int, ...]:
        """Return the tokens that write exactly this."""
        return self._by_bytes.get(piece, ())
