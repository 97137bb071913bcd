"""Reading a text half way up the model, for a head that looks no further: no label is weighed, no logits are made."""

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.lanes import Extend, Want
from pipeline.domain.trie import Logits, Tokens


class HalfwayLane:
    """Reads an item once, up to where labels part."""

    def __init__(self, tokens: Tokens) -> None:
        """`tokens` are those of the item up to there."""
        self._tokens = tokens
        self._is_asked_for = False
        self.only_halfway = True
        self.wants_hidden = True
        self.hidden: NDArray[np.float32] | None = None
        self.halfway: NDArray[np.float32] | None = None
        """The mean of the states over all tokens but the prefix's, and behind it that of the last one; shape
        (2 * width,). None where the model does not show them."""

    @property
    def cells(self) -> int:
        """Tokens that are read."""
        return len(self._tokens)

    @property
    def width(self) -> int:
        """Sequences at once."""
        return 1

    @property
    def is_unsound(self) -> bool:
        """Whether what was heard is no number: nothing that is made of this model is to be believed."""
        return self.halfway is not None and not bool(np.isfinite(self.halfway).all())

    def next(self) -> Want | None:
        """Ask for the item, once."""
        first, self._is_asked_for = not self._is_asked_for, True
        return Extend(self._tokens) if first else None

    def take(self, _path: int, _logits: Logits) -> None:
        """Look at no logits."""
