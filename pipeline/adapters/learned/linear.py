"""What both kinds of learned choice share: a softmax over linear scores, with classes that were never seen."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from threadpoolctl import threadpool_limits

from pipeline.domain.curves import Floats

NEVER = -1e4
"""Score of a class that was never seen: below every sum of log-probabilities."""


P = ParamSpec("P")
T = TypeVar("T")


def alone(fit: Callable[P, T]) -> Callable[P, T]:
    """Let what fits a model use one thread: at these sizes several of BLAS wait longer than they compute."""
    limited: Callable[P, T] = threadpool_limits.wrap(limits=1, user_api="blas")(fit)
    return limited


def narrowed(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return rows (texts, features) in no more numbers than there are texts, and the axes (features, texts) of these.

    A linear model whose squared weights are penalised lies in the span of its rows (Kimeldorf and Wahba, "Some results
    on Tchebycheffian spline functions", 1971): fitted to the narrow rows, its weights times the axes are the model of
    the wide ones, found several times as fast. None where rows are not much wider than they are many.
    """
    texts, features = rows.shape
    if 2 * texts > features:
        return rows, None
    axes, narrow = qr(rows.T, mode="economic", check_finite=False)
    return np.ascontiguousarray(narrow.T), axes


def softmax(scores: NDArray[Any]) -> Floats:
    """Return shares (texts, classes) of scores, each row summing to 1."""
    raised = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def spread(
    known: NDArray[np.int64], by_class: NDArray[np.float64], bias: NDArray[np.float64], width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights (features, width) and bias (width,) for all classes: those never seen are never chosen."""
    if len(by_class) == 1:  # two classes: scikit-learn keeps one row, for the second of them
        by_class, bias = np.vstack([-by_class, by_class]) / 2, np.concatenate([-bias, bias]) / 2
    weights = np.zeros((by_class.shape[1], width), dtype=np.float32)
    weights[:, known] = by_class.T
    biases = np.full(width, NEVER, dtype=np.float32)
    biases[known] = bias
    return weights, biases
