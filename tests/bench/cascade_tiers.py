"""Cheap tiers for the cascade's benchmark: naive Bayes on characters, a logistic one on words and characters.

scikit-learn is no part of Headrace: it is imported where it is used.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FITTED, RUN, FOLDS = 3000, 2000, 3
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What the tiers say of the run's items, sure ones being near 1; wrong is against gold."""

    top: Floats
    """The logistic tier's top probability, calibrated by one logistic curve on the fitted rows."""
    learned: Floats
    """The same answers' confidence from both tiers' signals, learned on the fitted rows."""
    wrong: NDArray[np.bool_]
    naive: Floats
    """The naive tier's confidence, learned likewise from its own signals."""
    naive_wrong: NDArray[np.bool_]


def rows(data: Path, name: str) -> tuple[list[str], NDArray[np.str_]]:
    found = [
        json.loads(line)
        for part in ("train", "dev")
        for line in (data / name / f"{part}.jsonl").read_text("utf-8").splitlines()
    ]
    return [row["text"] for row in found], np.array([row["label"] for row in found])


def scored(texts: list[str], labels: NDArray[np.str_], seed: int) -> Scored:
    """Fit on 3,000 random rows and answer 2,000 others; confidences come from answers out of fold."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 — lazily: it is no dependency

    order = np.random.default_rng(seed).permutation(len(labels))
    fitted, run = order[:FITTED], order[FITTED : FITTED + RUN]
    outside = [
        _answers(texts, labels, np.setdiff1d(fitted, fitted[fold::FOLDS]), fitted[fold::FOLDS]) for fold in range(FOLDS)
    ]
    history = {key: np.concatenate([part[key] for part in outside]) for key in outside[0]}
    now = _answers(texts, labels, fitted, run)

    def confidence(keys: list[str], wrong: str) -> Floats:
        before, after = (np.stack([part[key] for key in keys], axis=1) for part in (history, now))
        middle, spread = before.mean(axis=0), before.std(axis=0) + 1e-9
        model = LogisticRegression().fit((before - middle) / spread, ~history[wrong])
        return np.asarray(model.predict_proba((after - middle) / spread)[:, 1])

    return Scored(
        top=confidence(["top"], "wrong"),
        learned=confidence(
            ["top", "margin", "second", "entropy", "naive_says", "agree", "near", "length", "agree_top"], "wrong"
        ),
        wrong=now["wrong"],
        naive=confidence(["naive_top", "naive_margin", "near", "length"], "naive_wrong"),
        naive_wrong=now["naive_wrong"],
    )


def _answers(
    texts: list[str], labels: NDArray[np.str_], fitted: NDArray[Any], asked: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    from scipy.sparse import hstack  # noqa: PLC0415
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.naive_bayes import MultinomialNB  # noqa: PLC0415

    makers = [
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2, sublinear_tf=True),
    ]
    known = [maker.fit_transform([texts[one] for one in fitted]) for maker in makers]
    new = [maker.transform([texts[one] for one in asked]) for maker in makers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 60 rounds are near enough
        linear = LogisticRegression(C=10.0, max_iter=60, tol=1e-3).fit(hstack(known).tocsr(), labels[fitted])
    naive = MultinomialNB(alpha=0.1).fit(known[1], labels[fitted])
    shares, naive_shares = linear.predict_proba(hstack(new).tocsr()), naive.predict_proba(new[1])
    best, naive_best = shares.argmax(axis=1), naive_shares.argmax(axis=1)
    ranked, naive_ranked = np.sort(shares, axis=1), np.sort(naive_shares, axis=1)
    agree = (best == naive_best).astype(float)
    return {
        "wrong": linear.classes_[best] != labels[asked],
        "naive_wrong": naive.classes_[naive_best] != labels[asked],
        "top": _logit(ranked[:, -1]),
        "margin": _logit(ranked[:, -1] - ranked[:, -2]),
        "second": _logit(ranked[:, -2]),
        "entropy": np.log(1e-4 - (shares * np.log(shares + 1e-12)).sum(axis=1)),
        "naive_says": _logit(naive_shares[np.arange(len(best)), best]),
        "naive_top": _logit(naive_ranked[:, -1]),
        "naive_margin": _logit(naive_ranked[:, -1] - naive_ranked[:, -2]),
        "agree": agree,
        "agree_top": agree * _logit(naive_ranked[:, -1]),
        "near": (new[0] @ known[0].T).max(axis=1).toarray().ravel(),
        "length": np.log([len(texts[one].split()) + 1 for one in asked]),
    }


def _logit(share: NDArray[Any]) -> Floats:
    return np.asarray(np.log((share + 1e-6) / (1.0 - share + 1e-6)))
