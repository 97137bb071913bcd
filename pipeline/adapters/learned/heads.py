"""A head: a linear model on a language model's hidden states and on the chances it gives the labels itself."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from pipeline.adapters.learned.linear import alone, narrowed, softmax, spread
from pipeline.domain.curves import log_odds
from pipeline.domain.errors import ModelError
from pipeline.domain.learned import Seen, choice_signals

_ROUNDS = 200


@dataclass(frozen=True, kw_only=True)
class Head:
    """A fitted head; shapes: (features,), (features,), (features, classes), (classes,)."""

    middle: NDArray[np.float32]
    scale: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    @alone
    def fit(
        cls,
        states: NDArray[np.float32],
        shares: NDArray[np.float64],
        classes: NDArray[np.int64],
        width: int,
        *,
        c: float,
    ) -> "Head":
        """Learn from hidden states (texts, n), the labels' shares (texts, options) and each text's class.

        `c` is how freely it may learn (scikit-learn's C). ValueError where all texts are of one class.
        """
        if len(np.unique(classes)) < 2:  # noqa: PLR2004 — a choice is between two
            raise ValueError("there is nothing to tell apart: all texts are of one class")
        rows = _rows(states, shares)
        middle, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
        narrow, axes = narrowed((rows - middle) / scale)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # this many rounds are near enough
            linear = LogisticRegression(C=c, max_iter=_ROUNDS).fit(narrow, classes)
        weights, bias = spread(linear.classes_, linear.coef_, linear.intercept_, width)
        weights = weights if axes is None else axes @ weights
        return cls(middle=middle.astype(np.float32), scale=scale.astype(np.float32), weights=weights, bias=bias)

    def see(self, states: NDArray[np.float32], shares: NDArray[np.float64], _texts: Sequence[str]) -> Seen:
        """Return the chance of each class for each text, and the signals of how sure that is."""
        # A lesson from before there were states halfway up knows nothing of those, which stand behind the last.
        known = len(self.middle) - shares.shape[1]
        if known > states.shape[1]:
            raise ModelError("what was learned looks at more of the model than it shows now: headrace learn JOB")
        rows = (_rows(states[:, :known], shares) - self.middle) / self.scale
        found = softmax(rows @ self.weights + self.bias)
        best = found.argmax(axis=1)
        own = np.column_stack([shares, np.zeros((len(shares), found.shape[1] - shares.shape[1]))])
        says = log_odds(own[np.arange(len(best)), best])
        agree = (own.argmax(axis=1) == best).astype(np.float64)
        # How far from what it learned from: the mean square of standardised rows is about 1 for the like of those.
        strange = np.log(np.mean(np.square(rows), axis=1) + 1e-6)
        return Seen(shares=found, signals=np.column_stack([choice_signals(found), says, agree, strange]))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return all there is to keep."""
        return {"middle": self.middle, "scale": self.scale, "weights": self.weights, "bias": self.bias}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Head":
        """Read what `arrays` returned; ValueError where shapes do not fit together."""
        names = ("middle", "scale", "weights", "bias")
        found = cls(**{name: arrays[name].astype(np.float32) for name in names})
        shape = (len(found.middle), len(found.bias))
        if found.scale.shape != shape[:1] or found.weights.shape != shape:
            raise ValueError("the arrays of a head do not fit together")
        return found


def _rows(states: NDArray[np.float32], shares: NDArray[np.float64]) -> NDArray[np.float32]:
    # Log-odds weigh as one more feature each: what the model says by itself is one witness among hundreds.
    return np.column_stack([states, log_odds(shares)]).astype(np.float32)
