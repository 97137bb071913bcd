"""Balance: a model's own chances of labels, less half of what it is given to saying whatever the text.

Small models like some labels more than others. The mean of their chances over texts that nobody labelled holds that
liking and how often the labels really come, mixed; dividing by all of it (batch calibration, Zhou et al., ICLR 2024)
takes away both, which harms where labels come unequally often. Half of it, as a power, is the middle between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.learned.linear import softmax
from pipeline.domain.curves import Floats

_PART = 0.5
_LEAST_SHARE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What is taken from each label's log-probability, in nats; shape (options,)."""

    shift: NDArray[np.float32]

    @classmethod
    def fit(cls, shares: Floats) -> "Balance":
        """Learn from chances (texts, options) of any texts that are like those to come; ValueError without texts."""
        if not len(shares):
            raise ValueError("there are no texts to learn from")
        return cls(shift=(_PART * np.log(shares.mean(axis=0) + _LEAST_SHARE)).astype(np.float32))

    def __call__(self, shares: Floats) -> Floats:
        """Return chances (texts, options) without the model's liking."""
        return softmax(np.log(shares + _LEAST_SHARE) - self.shift)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return all there is to keep."""
        return {"shift": self.shift}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Balance":
        """Read what `arrays` returned; ValueError where that is no finite row of numbers."""
        found = cls(shift=arrays["shift"].astype(np.float32))
        if found.shift.ndim != 1 or not np.isfinite(found.shift).all():
            raise ValueError("the array of a balance is no row of finite numbers")
        return found
