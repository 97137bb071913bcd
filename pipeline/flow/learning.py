"""Learn: from texts whose right answer is known to a choice that is made better, and to how sure to be of it.

All figures are of answers that were not learned from: rows are split into parts, each answered by what the others
taught. Which way of fitting is taken, and which curve, is decided on those answers too.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.bounds import binomial_tail
from pipeline.domain.calibration import excess_calibration_error
from pipeline.domain.curves import Chosen, Curve, Floats, choose_curve
from pipeline.domain.learned import Figures, Seen
from pipeline.domain.outcomes import Given
from pipeline.flow.samples import is_right

LEAST_ROWS = 40
"""Fewer labelled texts than this teach nothing that could be shown to hold."""
_FOLDS = 5
_SEED = 20261127
_HARDLY = 0.01
_SHARPER = (0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0, 5.66, 8.0)
"""Powers of shares that are tried."""
_LEAST_SHARE = 1e-9

Rows: TypeAlias = NDArray[np.int64]
"""Numbers of texts."""
Look: TypeAlias = Callable[[Rows], Seen]
"""Answers texts by what was learned."""
Fit: TypeAlias = Callable[[Rows], Look]
"""Learns from texts; raises ValueError where they teach nothing."""
Show: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What came of it."""

    way: str | None
    """Which way of fitting was best; None where only a curve was learned."""
    class_loss: float | None = None
    """Log loss of the classes, in nats, on texts that were not learned from, however sharp the shares are."""
    curve: Curve
    figures: Figures


def order_of(texts: Sequence[str]) -> list[int]:
    """Return the numbers of different texts, in an order that no order of the file can spoil; copies are left out."""
    first: dict[bytes, int] = {}
    for number, text in enumerate(texts):
        first.setdefault(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), number)
    return [first[digest] for digest in sorted(first)]


def learn_choice(
    ways: Mapping[str, Fit], classes: Rows, before: float | None, show: Show = lambda _done, _of: None
) -> Taught:
    """Try each way of fitting on parts of the texts, and return the best with its curve; texts in a random order.

    `classes` are the right ones, `before` the share of the model's own choices that are right. ValueError where nothing
    can be learned: fewer than 40 texts, or a class that all of them share.
    """
    if len(classes) < LEAST_ROWS:
        raise ValueError(f"{len(classes)} labelled texts are too few: {LEAST_ROWS} or more teach something")
    folds = _folds(classes)
    best: tuple[float, str, Seen] | None = None
    for number, (way, fit) in enumerate(ways.items()):
        parts = []
        for fold in range(_FOLDS):
            show(number * _FOLDS + fold, len(ways) * _FOLDS)
            parts.append(fit(np.flatnonzero(folds != fold))(np.flatnonzero(folds == fold)))
        seen = _put_together(parts, folds)
        loss = _class_loss(seen.shares, classes)
        if best is None or loss < best[0]:
            best = (loss, way, seen)
    if best is None:
        raise ValueError("there is no way to learn it")
    loss, way, seen = best
    right = seen.shares.argmax(axis=1) == classes
    chosen = choose_curve(seen.signals, right)
    return Taught(way=way, class_loss=loss, curve=chosen.curve, figures=_figures(chosen, right, before))


def learn_confidence(signals: Floats, right: NDArray[np.bool_]) -> Taught:
    """Learn only how sure to be of answers that a model gave; texts in a random order. ValueError for too few."""
    if len(right) < LEAST_ROWS:
        raise ValueError(f"{len(right)} labelled texts are too few: {LEAST_ROWS} or more teach something")
    chosen = choose_curve(signals, right)
    return Taught(way=None, curve=chosen.curve, figures=_figures(chosen, right, float(right.mean())))


def better(chosen: Taught | None, own: Taught) -> Taught:
    """Return what was learned to choose, or how sure to be of the model's own choice where that is right more often."""
    return own if chosen is None or chosen.figures.accuracy < own.figures.accuracy else chosen


def clearly_worse(right: NDArray[np.bool_], than: float) -> bool:
    """Whether answers of which these were seen can hardly be right so often: 1 chance in 100, were they."""
    return binomial_tail(int(right.sum()), drawn=len(right), rate=than) < _HARDLY


def right_answers(given: Sequence[Given], gold: Sequence[Any]) -> NDArray[np.bool_]:
    """Return which answers are the gold ones."""
    return np.array([is_right(one, right) for one, right in zip(given, gold, strict=True)], dtype=np.bool_)


def _folds(classes: Rows) -> Rows:
    """Return each text's part: every class is spread over all parts."""
    order = np.argsort(classes, kind="stable")
    folds = np.empty(len(classes), dtype=np.int64)
    folds[order] = np.arange(len(classes)) % _FOLDS
    return folds


def _class_loss(shares: Floats, classes: Rows) -> float:
    """Return the log loss of the classes, in nats, at the sharpness that suits the shares best.

    How sharp they are is no reason to prefer a way: how sure to be is learned afterwards.
    """
    logs = np.log(shares + _LEAST_SHARE)
    found = []
    for power in _SHARPER:
        raised = power * logs
        whole = np.log(np.exp(raised - raised.max(axis=1, keepdims=True)).sum(axis=1)) + raised.max(axis=1)
        found.append(float(np.mean(whole - raised[np.arange(len(classes)), classes])))
    return min(found)


def _put_together(parts: Sequence[Seen], folds: Rows) -> Seen:
    shares = np.empty((len(folds), parts[0].shares.shape[1]))
    signals = np.empty((len(folds), parts[0].signals.shape[1]))
    for fold, part in enumerate(parts):
        shares[folds == fold], signals[folds == fold] = part.shares, part.signals
    return Seen(shares=shares, signals=signals)


def _figures(chosen: Chosen, right: NDArray[np.bool_], before: float | None) -> Figures:
    excess = excess_calibration_error(chosen.chances.tolist(), right.tolist(), np.random.default_rng(_SEED))
    return Figures(
        rows=len(right),
        accuracy=float(right.mean()),
        before=before,
        log_loss=chosen.loss,
        plain_log_loss=chosen.plain_loss,
        ece_excess=0.0 if excess is None else excess,
    )
