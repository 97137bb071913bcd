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

    Shapes: states (texts, width of the model), shares (texts, labels that the model weighs itself); either may have no
    columns.
    """

    states: NDArray[np.float32]
    shares: NDArray[np.float64]
    texts: Sequence[str]
    classes: Rows
    width: int
    _words: dict[tuple[bytes, bool], Words] = field(default_factory=dict)
    _heads: dict[tuple[bytes, float], Head] = field(default_factory=dict)

    def fit_head(self, rows: Rows, c: float) -> Head:
        """Return a head fitted on these rows, fitted once however often it is asked for."""
        key = rows.tobytes(), c
        if key not in self._heads:
            self._heads[key] = Head.fit(self.states[rows], self.shares[rows], self.classes[rows], self.width, c=c)
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

    def head(self, c: float) -> Fit:
        """Return the way of a head alone."""

        def fit(rows: Rows) -> Look:
            head = self.fit_head(rows, c)
            return lambda others: head.see(self.states[others], self.shares[others], ())

        return fit

    def both(self, c: float, weight: float) -> Fit:
        """Return the way of a head and words together."""

        def fit(rows: Rows) -> Look:
            pair = Both(head=self.fit_head(rows, c), words=self.fit_words(rows), weight=weight)
            return lambda others: pair.see(
                self.states[others], self.shares[others], [self.texts[row] for row in others]
            )

        return fit
