"""Cheap tiers for the cascade's benchmark: the product's own words tier, and a naive Bayes model below it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB

from pipeline.adapters.learned.words import Words
from pipeline.domain.curves import Curve, Floats, choose_curve, fit_curve
from pipeline.domain.learned import Seen, choice_signals
from pipeline.flow.learning import Fit, Look, Rows
from pipeline.wiring.school import School

FITTED, RUN, FOLDS = 3000, 2000, 5
FREEDOM = 0.03
"""scikit-learn's C of the head on vectors: `learn` chooses it, which takes too long for hundreds of splits."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What the tiers say of the run's items, sure ones being near 1; wrong is against gold."""

    top: Floats
    """The words tier's top probability, calibrated by one logistic curve on the fitted rows."""
    learned: Floats
    """The same answers' confidence as `headrace learn` learns it: the best curve over all signals."""
    wrong: NDArray[np.bool_]
    naive: Floats
    """The naive tier's confidence, learned likewise."""
    naive_wrong: NDArray[np.bool_]


def rows(data: Path, name: str) -> tuple[list[str], NDArray[np.str_]]:
    found = [
        json.loads(line)
        for part in ("train", "dev")
        for line in (data / name / f"{part}.jsonl").read_text("utf-8").splitlines()
    ]
    return [row["text"] for row in found], np.array([row["label"] for row in found])


def scored(texts: list[str], labels: NDArray[np.str_], seed: int, vectors: NDArray[np.float32] | None = None) -> Scored:
    """Fit on 3,000 random rows and answer 2,000 others; confidences come from answers out of fold.

    With an encoder's vectors (texts, width) of all texts the words tier learns from them as well.
    """
    options, classes = np.unique(labels, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    fitted, run = order[:FITTED], order[FITTED : FITTED + RUN]

    def by_letters(known: Rows) -> Look:
        maker = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True)
        model = MultinomialNB(alpha=0.1).fit(maker.fit_transform([texts[one] for one in known]), classes[known])

        def look(asked: Rows) -> Seen:
            found = model.predict_proba(maker.transform([texts[one] for one in asked]))
            shares = np.zeros((len(asked), len(options) + 1))
            shares[:, model.classes_] = found
            return Seen(shares=shares, signals=choice_signals(shares))

        return look

    if vectors is None:
        cheap = words_fit(texts, classes, len(options))
    else:
        shares = np.zeros((len(texts), 0))
        school = School(states=vectors, shares=shares, texts=texts, classes=classes, width=len(options) + 1)
        cheap = school.both(FREEDOM, vectors.shape[1], 0.5)
    history, now = answers(cheap, fitted, run)
    right = history.shares.argmax(axis=1) == classes[fitted]
    curve, line = choose_curve(history.signals, right).curve, _line(history.signals, right)
    old, naive = answers(by_letters, fitted, run)
    naive_curve = choose_curve(old.signals, old.shares.argmax(axis=1) == classes[fitted]).curve
    return Scored(
        top=line(now.signals[:, :1]),
        learned=curve(now.signals),
        wrong=now.shares.argmax(axis=1) != classes[run],
        naive=naive_curve(naive.signals),
        naive_wrong=naive.shares.argmax(axis=1) != classes[run],
    )


def _line(signals: Floats, right: NDArray[np.bool_]) -> Curve:
    return fit_curve("line", signals[:, :1], right)


def words_fit(texts: Sequence[str], classes: NDArray[np.int64], options: int) -> Fit:
    """Return the product's words tier, to be fitted on some of the texts and asked of others."""

    def fit(known: Rows) -> Look:
        words = Words.fit([texts[one] for one in known], classes[known], options + 1)
        return lambda asked: words.see([texts[one] for one in asked])

    return fit


def answers(fit: Fit, fitted: Rows, run: Rows) -> tuple[Seen, Seen]:
    """Return what is said of the fitted rows out of fold, and of the run by all of them."""
    outside = [fit(np.delete(fitted, np.s_[fold::FOLDS]))(fitted[fold::FOLDS]) for fold in range(FOLDS)]
    shares = np.empty((len(fitted), outside[0].shares.shape[1]))
    signals = np.empty((len(fitted), outside[0].signals.shape[1]))
    for fold, seen in enumerate(outside):
        shares[fold::FOLDS], signals[fold::FOLDS] = seen.shares, seen.signals
    return Seen(shares=shares, signals=signals), fit(fitted)(run)
