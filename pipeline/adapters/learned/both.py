"""A head and the words of the text together: each sees what the other misses, and words cost next to nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.learned.heads import Head
from pipeline.adapters.learned.words import Words
from pipeline.domain.curves import log_odds
from pipeline.domain.learned import Seen, choice_signals

_LEAST = 1e-6


@dataclass(frozen=True, kw_only=True)
class Both:
    """Shares of a head and of words, multiplied: `weight` is the head's part of the exponent, between 0 and 1."""

    head: Head
    words: Words
    weight: float

    def see(self, states: NDArray[np.float32], shares: NDArray[np.float64], texts: Sequence[str]) -> Seen:
        """Return the chance of each class for each text, and the signals of how sure that is."""
        return mixed(self.head.see(states, shares, texts), self.words.see(texts), self.weight)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return all there is to keep."""
        return {
            "weight": np.array([self.weight], dtype=np.float32),
            **{f"head.{name}": array for name, array in self.head.arrays().items()},
            **{f"words.{name}": array for name, array in self.words.arrays().items()},
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Both":
        """Read what `arrays` returned; ValueError where the two know other classes."""
        parts: dict[str, dict[str, NDArray[Any]]] = {"head": {}, "words": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = array
        found = cls(head=Head.of(parts["head"]), words=Words.of(parts["words"]), weight=float(arrays["weight"][0]))
        if len(found.head.bias) != len(found.words.bias):
            raise ValueError("a head and its words know other classes")
        return found

    @property
    def bias(self) -> NDArray[np.float32]:
        """As long as there are classes."""
        return self.head.bias


def mixed(head: Seen, words: Seen, weight: float) -> Seen:
    """Put together what a head and words say of the same texts."""
    logs = weight * np.log(head.shares + _LEAST) + (1.0 - weight) * np.log(words.shares + _LEAST)
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares = raised / raised.sum(axis=1, keepdims=True)
    rows, best = np.arange(len(shares)), shares.argmax(axis=1)
    both = [log_odds(one.shares[rows, best]) for one in (head, words)]
    agree = (head.shares.argmax(axis=1) == words.shares.argmax(axis=1)).astype(np.float64)
    # Of the others' own signals those that are about the text, and not about a choice that may not be the one made.
    others = [agree, *head.signals.T[-2:], *words.signals.T[-2:]]
    return Seen(shares=shares, signals=np.column_stack([choice_signals(shares), *both, *others]))
