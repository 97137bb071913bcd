"""Which fingerprints an ingest has met: most rows are new, and need no look-up in an index of millions to show it."""

from collections.abc import Sequence

import numpy as np

_SLOTS = 2**28
"""Bits; a fixed 32 MiB whatever the source's size. A million rows with keys: 2 in 10,000 look-ups are for nothing; a
hundred million: 6 in 10."""


class Seen:
    """A Bloom filter over one run's fingerprints: "new" is certain, "maybe known" is to be looked up.

    It stands for the run's first `rows` rows and for no others, so it may be trusted only by the ingest that read all
    of them itself.
    """

    def __init__(self) -> None:
        """Begin with a run that has no rows."""
        self.rows = 0
        self._bits = np.zeros(_SLOTS // 8, dtype=np.uint8)

    def meet(self, prints: Sequence[bytes]) -> list[bytes]:
        """Return the fingerprints (16 bytes each) that may have been met before this call; all are met from now on."""
        if not prints:
            return []
        # Behind the run's four bytes a fingerprint is uniform: words of it serve as the hash functions.
        slots = np.frombuffer(b"".join(prints), dtype=np.uint32).reshape(-1, 4)[:, 1:3] % np.uint32(_SLOTS)
        places = slots >> np.uint32(3)
        bits = np.left_shift(1, slots & np.uint32(7), dtype=np.uint32).astype(np.uint8)
        known = ((self._bits[places] & bits) != 0).all(axis=1)
        np.bitwise_or.at(self._bits, places.ravel(), bits.ravel())
        return [prints[index] for index in np.flatnonzero(known).tolist()]
