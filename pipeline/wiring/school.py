"""The ways in which a tier learns to choose: words, a head on what a model makes of a text, or both together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.learned.both import Both
from pipeline.adapters.learned.heads import Head
from pipeline.adapters.learned.words import Words
from pipeline.flow.learning import Fit, Look, Rows


@dataclass(frozen=True, slots=True)
class View:
    """What a head looks at: columns of the states, and the shares unless it is `half`, read no further than that."""

    start: int
    stop: int
    half: bool = False


@dataclass(frozen=True, kw_only=True)
class School:
    """One step's texts as a model read them, and the ways to learn from some of them.

    Shapes: states (texts, numbers), shares (texts, labels that the model weighs itself); either may have no columns.
    Where the states are more than the `last` ones, behind those stand the means halfway up and the states there.
    """

    states: NDArray[np.float32]
    shares: NDArray[np.float64]
    texts: Sequence[str]
    classes: Rows
    width: int
    last: int | None = None
    """Columns of the last state, where others stand behind it."""
    _words: dict[tuple[bytes, bool], Words] = field(default_factory=dict)
    _heads: dict[tuple[bytes, float, View], Head] = field(default_factory=dict)

    @property
    def views(self) -> tuple[View, ...]:
        """Return what a head may look at: the last state, the mean halfway up beside it, or halfway up only."""
        every = self.states.shape[1]
        if self.last is None or self.last == every:
            return (View(0, every),)
        return View(0, self.last), View(0, (self.last + every) // 2), View(self.last, every, half=True)

    def seen(self, rows: Rows, view: View) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return the states and shares that a head with this view gets of some texts."""
        shares = self.shares[rows]
        return self.states[rows, view.start : view.stop], shares[:, :0] if view.half else shares

    def fit_head(self, rows: Rows, c: float, view: View) -> Head:
        """Return a head with this view, fitted on these rows, once however often it is asked for."""
        key = rows.tobytes(), c, view
        if key not in self._heads:
            self._heads[key] = Head.fit(*self.seen(rows, view), self.classes[rows], self.width, c=c)
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

    def head(self, c: float, view: View) -> Fit:
        """Return the way of a head alone."""

        def fit(rows: Rows) -> Look:
            head = self.fit_head(rows, c, view)
            return lambda others: head.see(*self.seen(others, view), ())

        return fit

    def both(self, c: float, view: View, weight: float) -> Fit:
        """Return the way of a head and words together."""

        def fit(rows: Rows) -> Look:
            pair = Both(head=self.fit_head(rows, c, view), words=self.fit_words(rows), weight=weight)
            return lambda others: pair.see(*self.seen(others, view), [self.texts[row] for row in others])

        return fit
