"""Classifying by words: TF-IDF of words, pairs of words and pieces of words, a linear model, and a second opinion.

The linear model is one for all classes, or `apart` one for each against all others, with features weighed by how much
more often they stand in its texts (Wang and Manning, "Baselines and bigrams", ACL 2012): that is better on short
opinions and worse on long texts, so both are tried where there are few labels.

Features are hashed: what is kept of the texts it learned from is numbers, no words of theirs. The second opinion is a
naive Bayes model over the same features; whether both agree tells a lot about how far the first is to be trusted.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

from pipeline.adapters.learned.linear import NEVER, alone, softmax, spread
from pipeline.domain.curves import Floats, log_odds, logistic
from pipeline.domain.learned import Seen, choice_signals

_HASHES = 1 << 20
_REGULAR = 10.0  # scikit-learn's C: little regularisation, as suits TF-IDF rows of length 1
_ROUNDS = 60
_REGULAR_APART = 4.0
_LEAST_PIECES = 2  # texts that a piece of a word must occur in; a word may occur in one
_SMOOTHING = 0.1
_WORDS = HashingVectorizer(ngram_range=(1, 2), n_features=_HASHES, alternate_sign=False, norm=None)
_PIECES = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=_HASHES, alternate_sign=False, norm=None)


Weights: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Words:
    """A fitted model; shapes: (features,), (features, classes), (classes,)."""

    words: int
    """How many of the features are words and pairs of words; the rest are pieces."""
    hashes: NDArray[np.int32]
    idf: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    apart: bool
    """Whether the scores of each class were learned against all others."""
    opinions: NDArray[np.float32]
    """Log-probability of each feature in each class, of the second opinion."""
    opinion_bias: NDArray[np.float32]

    @classmethod
    @alone
    def fit(cls, texts: Sequence[str], classes: NDArray[np.int64], width: int, *, apart: bool = False) -> "Words":
        """Learn from texts and the number of each one's class, of `width` in all; classes that do not occur get none.

        ValueError where all texts are of one class.
        """
        if len(np.unique(classes)) < 2:  # noqa: PLR2004 — a choice is between two
            raise ValueError("there is nothing to tell apart: all texts are of one class")
        counted = [_counted(_WORDS, texts), _counted(_PIECES, texts)]
        kept = [_kept(counted[0], 1), _kept(counted[1], _LEAST_PIECES)]
        idf = [_idf(counts[:, columns]) for counts, columns in zip(counted, kept, strict=True)]
        words = cls(
            words=len(kept[0]),
            hashes=np.concatenate(kept).astype(np.int32),
            idf=np.concatenate(idf).astype(np.float32),
            weights=np.zeros((0, width), dtype=np.float32),
            bias=np.zeros(width, dtype=np.float32),
            apart=apart,
            opinions=np.zeros((0, width), dtype=np.float32),
            opinion_bias=np.zeros(width, dtype=np.float32),
        )
        rows, _ = words._rows(texts)
        weights, bias = _one_against_all(rows, classes, width) if words.apart else _all_at_once(rows, classes, width)
        naive = MultinomialNB(alpha=_SMOOTHING).fit(rows, classes)
        opinions, opinion_bias = spread(naive.classes_, naive.feature_log_prob_, naive.class_log_prior_, width)
        return cls(
            words=words.words,
            hashes=words.hashes,
            idf=words.idf,
            weights=weights,
            bias=bias,
            apart=words.apart,
            opinions=opinions,
            opinion_bias=opinion_bias,
        )

    def see(self, texts: Sequence[str]) -> Seen:
        """Return the chance of each class for each text, and the signals of how sure that is."""
        rows, new = self._rows(texts)
        scores = rows @ self.weights + self.bias
        shares = _normalised(scores) if self.apart else softmax(scores)
        opinion = softmax(rows @ self.opinions + self.opinion_bias)
        best = shares.argmax(axis=1)
        says = log_odds(opinion[np.arange(len(best)), best])
        agree = (opinion.argmax(axis=1) == best).astype(np.float64)
        lengths = np.log([len(text.split()) + 1.0 for text in texts])
        others = np.column_stack([says, agree, agree * log_odds(opinion.max(axis=1)), new, lengths])
        return Seen(shares=shares, signals=np.column_stack([choice_signals(shares), others]))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return all there is to keep."""
        return {
            "words": np.array([self.words], dtype=np.int32),
            "hashes": self.hashes,
            "idf": self.idf,
            "weights": self.weights.astype(np.float16),
            "bias": self.bias,
            "apart": np.array([self.apart]),
            "opinions": self.opinions.astype(np.float16),
            "opinion_bias": self.opinion_bias,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Words":
        """Read what `arrays` returned; ValueError where shapes do not fit together."""
        found = cls(
            words=int(arrays["words"][0]),
            hashes=arrays["hashes"].astype(np.int32),
            idf=arrays["idf"].astype(np.float32),
            weights=arrays["weights"].astype(np.float32),
            bias=arrays["bias"].astype(np.float32),
            apart=bool(arrays["apart"][0]),
            opinions=arrays["opinions"].astype(np.float32),
            opinion_bias=arrays["opinion_bias"].astype(np.float32),
        )
        shape = (len(found.hashes), len(found.bias))
        if not found.idf.shape == shape[:1] or not found.weights.shape == found.opinions.shape == shape:
            raise ValueError("the arrays of a words model do not fit together")
        return found

    def _rows(self, texts: Sequence[str]) -> tuple[csr_matrix, Floats]:
        """Return TF-IDF rows (texts, features), and the share of each text's words that it never saw."""
        parts = ((_WORDS, slice(0, self.words)), (_PIECES, slice(self.words, None)))
        blocks = []
        new = np.zeros(len(texts))
        for maker, part in parts:
            counts = _counted(maker, texts)
            known = counts[:, self.hashes[part]].astype(np.float32)
            if maker is _WORDS:
                all_words = np.diff(counts.indptr)
                new = 1.0 - np.diff(known.indptr) / np.maximum(all_words, 1)
            known.data = 1.0 + np.log(known.data)
            blocks.append(_unit_rows(known @ diags(self.idf[part])))
        return hstack(blocks).tocsr(), np.asarray(new, dtype=np.float64)


def _counted(maker: HashingVectorizer, texts: Sequence[str]) -> csr_matrix:
    """Count features; half of a surrogate pair, which cannot be hashed, counts as a question mark."""
    return maker.transform([text.encode("utf-8", "replace").decode("utf-8") for text in texts])


def _all_at_once(rows: csr_matrix, classes: NDArray[np.int64], width: int) -> tuple[Weights, Weights]:
    """Return weights (features, width) and bias (width,) of one model that tells all classes apart."""
    linear = _fitted(rows, classes, _REGULAR)
    return spread(linear.classes_, linear.coef_, linear.intercept_, width)


def _one_against_all(rows: csr_matrix, classes: NDArray[np.int64], width: int) -> tuple[Weights, Weights]:
    """Return the same of a model for each class, on features weighed by how typical they are of it."""
    seen = (rows > 0).astype(np.float64)
    weights = np.zeros((rows.shape[1], width), dtype=np.float32)
    bias = np.full(width, NEVER, dtype=np.float32)
    for number in np.unique(classes):
        own = classes == number
        inside, outside = (1.0 + np.asarray(seen[which].sum(axis=0)).ravel() for which in (own, ~own))
        typical = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
        linear = _fitted(rows @ diags(typical), own, _REGULAR_APART)
        weights[:, number] = typical * linear.coef_[0]
        bias[number] = linear.intercept_[0]
    return weights, bias


def _fitted(rows: csr_matrix, classes: NDArray[Any], c: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # this many rounds are near enough
        return LogisticRegression(C=c, max_iter=_ROUNDS, tol=1e-3).fit(rows, classes)


def _normalised(scores: NDArray[Any]) -> Floats:
    """Return shares of scores that were learned class by class."""
    each = logistic(scores.astype(np.float64)) + np.finfo(np.float64).tiny
    return np.asarray(each / each.sum(axis=1, keepdims=True), dtype=np.float64)


def _kept(counts: csr_matrix, least: int) -> NDArray[np.int64]:
    return np.flatnonzero(np.bincount(counts.indices, minlength=_HASHES) >= least)


def _idf(counts: csr_matrix) -> Floats:
    seen = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.asarray(np.log((1.0 + counts.shape[0]) / (1.0 + seen)) + 1.0, dtype=np.float64)


def _unit_rows(rows: csr_matrix) -> csr_matrix:
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return diags((1.0 / np.maximum(lengths, 1e-9)).astype(np.float32)) @ rows
