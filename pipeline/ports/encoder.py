"""Encoder: what turns texts into vectors that lie near each other where the texts mean the like."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Vectors of some texts, in their order."""

    vectors: NDArray[np.float32]
    """Shape (texts, width), each of length 1."""
    tokens: tuple[int, ...]
    """How many of each text were read."""


class Encoder(Protocol):
    """Encodes batches of texts. Used by one thread at a time."""

    @property
    def model(self) -> str:
        """What encodes: a name and the digest of its file."""
        ...

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return a vector for every text, of its beginning where it is long; the others hardly change it.

        Raises EngineUnavailable when it fails, ModelError where its model gives no vectors that can be used.
        """
        ...

    def close(self) -> None:
        """Give back memory; a closed encoder is not used again."""
        ...
