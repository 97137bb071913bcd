"""Curves from what an engine says of an answer (its signals) to the chance that the answer is right.

A signal is a number that rises or falls with how sure an answer is; the first of a row is always the log-odds of the
engine's own probability. Curves are fitted on answers whose truth is known and that the engine did not learn from, and
one of them is chosen by log loss on answers that it was not fitted on; if none helps, the engine's word stands.

Worked: 2 of 4 answers that say .9 are right, and 4 of 4 that say .99. The log-odds 2.20 and 4.60 are mapped to .5 and
near 1: a slope above 1 and an intercept below 0. The step curve says 2.5/5 = .5 and 4.5/5 = .9.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Floats: TypeAlias = NDArray[np.float64]
Kind: TypeAlias = Literal["as said", "slope", "line", "steps", "signals"]
KINDS: tuple[Kind, ...] = ("as said", "slope", "line", "steps", "signals")
"""From the simplest on: a later one is taken only where it is better by more than chance."""

_EDGE = 1e-6
_ROUNDS = 50
_RIDGE = 1.0
_LEAST_ROWS = 30


class Curve(BaseModel):
    """One fitted curve. `steps` is a staircase over the first signal, all others a logistic in the signals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    weights: tuple[float, ...] = ()
    """Of each signal, in the order of the rows."""
    intercept: float = 0.0
    knots: tuple[float, ...] = ()
    """Where the staircase's steps begin, ascending: below the first one `values[0]` holds too."""
    values: tuple[float, ...] = ()

    def __call__(self, signals: Floats) -> Floats:
        """Return the chance that each answer is right; signals (answers, n), ascending with `weights`."""
        if self.kind == "steps":
            place = np.searchsorted(np.asarray(self.knots), signals[:, 0], side="right") - 1
            return np.asarray(self.values, dtype=np.float64)[np.maximum(place, 0)]
        return logistic(signals @ np.asarray(self.weights) + self.intercept)


def log_odds(shares: Floats) -> Floats:
    """Return log-odds, kept finite."""
    held = np.clip(shares, _EDGE, 1.0 - _EDGE)
    return np.asarray(np.log(held) - np.log1p(-held), dtype=np.float64)


def logistic(odds: Floats) -> Floats:
    """Return probabilities of log-odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -40.0, 40.0))), dtype=np.float64)


def log_loss(chances: Floats, right: NDArray[np.bool_]) -> float:
    """Return the mean of minus the log of the chance that was given to what happened, in nats."""
    return float(_losses(chances, right).mean())


def fit_curve(kind: Kind, signals: Floats, right: NDArray[np.bool_]) -> Curve:
    """Fit a curve of one kind; signals (answers, n), right (answers,). ValueError without answers."""
    if signals.ndim != len("an") or len(signals) != len(right) or not len(right):
        raise ValueError("a curve is fitted on signals (answers, n) and whether each answer is right")
    width = signals.shape[1]
    match kind:
        case "as said":
            return Curve(kind=kind, weights=_first(1.0, width))
        case "slope":
            slope = _fit_logistic(signals[:, :1], right, intercept=False)[0]
            return Curve(kind=kind, weights=_first(float(slope), width))
        case "line":
            slope, intercept = _fit_logistic(signals[:, :1], right, intercept=True)
            return Curve(kind=kind, weights=_first(float(slope), width), intercept=float(intercept))
        case "steps":
            knots, values = _staircase(signals[:, 0], right)
            return Curve(kind=kind, knots=knots, values=values)
        case "signals":
            middle, spread = signals.mean(axis=0), signals.std(axis=0) + 1e-9
            fitted = _fit_logistic((signals - middle) / spread, right, intercept=True)
            weights = fitted[:-1] / spread
            return Curve(
                kind=kind, weights=tuple(weights.tolist()), intercept=float(fitted[-1] - (weights * middle).sum())
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The best curve, and how it did on answers that it was not fitted on."""

    curve: Curve
    chances: Floats
    """Each answer's chance of being right, by such a curve fitted on others."""
    loss: float
    """Their log loss, in nats."""
    plain_loss: float
    """That of the engine's own word."""


def choose_curve(signals: Floats, right: NDArray[np.bool_], *, folds: int = 5) -> Chosen:
    """Return the best kind of curve, fitted on all answers; every `folds`-th answer is held out in turn.

    A kind replaces a simpler one where its log loss is lower by more than the standard error of the difference. Fewer
    than 30 answers, or answers that are all right or all wrong, say too little: the engine's word stands.
    """
    chances = {kind: _held_out(kind, signals, right, folds) for kind in _kinds(signals, right)}
    losses = {kind: _losses(found, right) for kind, found in chances.items()}
    best: Kind = "as said"
    for kind, found in losses.items():
        gain = losses[best] - found
        if gain.mean() > gain.std() / np.sqrt(len(gain)):
            best = kind
    return Chosen(
        curve=fit_curve(best, signals, right),
        chances=chances[best],
        loss=float(losses[best].mean()),
        plain_loss=float(losses["as said"].mean()),
    )


def _kinds(signals: Floats, right: NDArray[np.bool_]) -> tuple[Kind, ...]:
    if len(right) < _LEAST_ROWS or right.all() or not right.any():
        return KINDS[:1]
    return KINDS if signals.shape[1] > 1 else KINDS[:-1]


def _held_out(kind: Kind, signals: Floats, right: NDArray[np.bool_], folds: int) -> Floats:
    chances = np.empty(len(right))
    for fold in range(min(folds, len(right))):
        inside = np.ones(len(right), dtype=np.bool_)
        inside[fold::folds] = False
        curve = fit_curve(kind, signals[inside], right[inside]) if inside.any() else fit_curve(kind, signals, right)
        chances[fold::folds] = curve(signals[fold::folds])
    return chances


def _losses(chances: Floats, right: NDArray[np.bool_]) -> Floats:
    held = np.clip(chances, _EDGE, 1.0 - _EDGE)
    return np.asarray(-np.where(right, np.log(held), np.log1p(-held)), dtype=np.float64)


def _first(weight: float, width: int) -> tuple[float, ...]:
    return (weight, *(0.0,) * (width - 1))


def _fit_logistic(signals: Floats, right: NDArray[np.bool_], *, intercept: bool) -> Floats:
    """Fit by Newton's method, with a ridge of 1 on all but the intercept; returns weights, then the intercept."""
    rows = np.column_stack([signals, np.ones(len(right))]) if intercept else signals
    ridge = np.full(rows.shape[1], _RIDGE)
    if intercept:
        ridge[-1] = _EDGE
    weights = np.zeros(rows.shape[1])
    for _ in range(_ROUNDS):
        chances = logistic(rows @ weights)
        slope = rows.T @ (chances - right) + ridge * weights
        bend = (rows * (chances * (1.0 - chances) + _EDGE)[:, None]).T @ rows + np.diag(ridge)
        step = np.linalg.solve(bend, slope)
        weights = weights - np.clip(step, -4.0, 4.0)
        if float(np.abs(step).max()) < _EDGE:
            break
    return np.asarray(weights, dtype=np.float64)


def _staircase(signal: Floats, right: NDArray[np.bool_]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fit an ascending staircase (pool adjacent violators); each step's height has half an answer added either way."""
    order = np.argsort(signal, kind="stable")
    starts, counts = np.unique(signal[order], return_counts=True)
    ends = np.cumsum(counts)
    hits = np.add.reduceat(right[order].astype(np.float64), ends - counts)
    blocks: list[list[float]] = []  # start, hits, count
    for start, hit, count in zip(starts.tolist(), hits.tolist(), counts.tolist(), strict=True):
        blocks.append([start, hit, count])
        while len(blocks) > 1 and _height(blocks[-2]) >= _height(blocks[-1]):
            _, more, many = blocks.pop()
            blocks[-1][1] += more
            blocks[-1][2] += many
    values = np.maximum.accumulate([_height(block) for block in blocks])
    return tuple(block[0] for block in blocks), tuple(values.tolist())


def _height(block: list[float]) -> float:
    return (block[1] + 0.5) / (block[2] + 1.0)
