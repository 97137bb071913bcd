"""The ways in which a tier learns to choose: words, a head on what a model makes of a text, or both together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.learned.both import Both
from pipeline.adapters.learned.heads import Head
from pipeline.adapters.learned.words import Words
from pipeline.flow.learning import Fit, Look, Rows, Taught, learn_choice

_WEIGHTS = (0.3, 0.5, 0.7)
"""Parts of a head that are tried beside the words of the text."""
_HARDLY_WORSE = 0.01
"""Nats of log loss that two fifths of the reading are worth at least: a hundredth of the answers, about."""


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


def heads(school: School, freedoms: Sequence[float]) -> dict[tuple[float, View], Fit]:
    """Return the ways of a head alone, by how freely it learns and what it looks at."""
    return {(c, view): school.head(c, view) for view in school.views for c in freedoms}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A head, or one together with words, and what came of learning it."""

    taught: Taught
    chooser: Head | Both
    half: bool
    """Whether it looks at nothing beyond halfway up."""


def pair(
    school: School,
    tried: Rows,
    before: float | None,
    freedoms: Sequence[float],
    show: Callable[[int, int], None] = lambda _done, _of: None,
) -> Pair:
    """Return a head, or one together with words: whichever is better on texts that it did not learn from.

    One that looks no further than halfway up is taken also where it is hardly worse, for what need not be read.
    `tried` are the classes of the first texts, on which that is decided; what is returned learned from all. `before` is
    the share of the model's own choices that are right. ValueError where nothing can be learned.
    """
    ways = heads(school, freedoms)

    def best(*, half: bool) -> Taught:
        return learn_choice({str(way): fit for way, fit in ways.items() if way[1].half is half}, tried, before, show)

    taught = best(half=False)
    if any(view.half for view in school.views):
        halfway = best(half=True)
        if (halfway.class_loss or 0.0) < (taught.class_loss or 0.0) + _HARDLY_WORSE:
            taught = halfway
    c, view = next(way for way in ways if str(way) == taught.way)
    pairs = learn_choice({str(w): school.both(c, view, w) for w in _WEIGHTS}, tried, before, show)
    every = np.arange(len(school.classes))
    head = school.fit_head(every, c, view)
    if (pairs.class_loss or 0.0) < (taught.class_loss or 0.0):
        words = school.fit_words(every)
        return Pair(taught=pairs, chooser=Both(head=head, words=words, weight=float(pairs.way or 1.0)), half=view.half)
    return Pair(taught=taught, chooser=head, half=view.half)
