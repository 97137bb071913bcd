"""The ways in which a tier learns to choose: words, a head on what a model makes of a text, or both together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.learned.both import Both
from pipeline.adapters.learned.heads import Head
from pipeline.adapters.learned.words import Words
from pipeline.flow.learning import Fit, Look, Rows


@dataclass(frozen=True, kw_only=True)
class School:
    """One step's texts as a model read them, and the ways to learn from some of them.

    Shapes: states (texts, numbers), shares (texts, labels that the model weighs itself); either may have no columns. Of
    the states the first `last` columns may be all that a head looks at.
    """

    states: NDArray[np.float32]
    shares: NDArray[np.float64]
    texts: Sequence[str]
    classes: Rows
    width: int
    last: int | None = None
    """Columns of the last state, where others stand behind it."""
    _words: dict[tuple[bytes, bool], Words] = field(default_factory=dict)
    _heads: dict[tuple[bytes, float, int], Head] = field(default_factory=dict)

    @property
    def looks(self) -> tuple[int, ...]:
        """Return how many columns of the states a head may look at."""
        every = self.states.shape[1]
        return (every,) if self.last is None or self.last == every else (self.last, every)

    def fit_head(self, rows: Rows, c: float, columns: int) -> Head:
        """Return a head on so many columns, fitted on these rows, once however often it is asked for."""
        key = rows.tobytes(), c, columns
        if key not in self._heads:
            states = self.states[rows, :columns]
            self._heads[key] = Head.fit(states, self.shares[rows], self.classes[rows], self.width, c=c)
        return self._heads[key]

    def fit_words(self, rows: Rows, *, apart: bool = False) -> Words:
        """Return words fitted on these rows, fitted once however often they are asked for."""
        key = rows.tobytes(), apart
        if key not in self._words:
            texts = [self.texts[row] for row in rows]
            self._words[key] = Words.fit(texts, self.classes[rows], self.width, apart=apart)
        return self._words[key]

    def words(self, *, apart: bool) -> Fit:
        """Return the way of words alone."""

        def fit(rows: Rows) -> Look:
            words = self.fit_words(rows, apart=apart)
            return lambda others: words.see([self.texts[row] for row in others])

        return fit

    def head(self, c: float, columns: int) -> Fit:
        """Return the way of a head alone."""

        def fit(rows: Rows) -> Look:
            head = self.fit_head(rows, c, columns)
            return lambda others: head.see(self.states[others], self.shares[others], ())

        return fit

    def both(self, c: float, columns: int, weight: float) -> Fit:
        """Return the way of a head and words together."""

        def fit(rows: Rows) -> Look:
            pair = Both(head=self.fit_head(rows, c, columns), words=self.fit_words(rows), weight=weight)
            return lambda others: pair.see(
                self.states[others], self.shares[others], [self.texts[row] for row in others]
            )

        return fit
