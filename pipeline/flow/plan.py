"""Plan: the cheapest ladder for each step that is good enough, by the answers of all tiers to the same labelled texts.

Every choice of tiers is tried, cheapest first as in the job. With a target the last tier stays, since it is what the
others are held against, and what a certificate is expected to allow is worked out for a run of the size at hand: what
is drawn for it costs calls of the last tier too. Without a target a ladder is good enough when it is right as often as
the best one, less what was given for tolerance.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.domain.certify import Promise, common_path
from pipeline.domain.drawing import choose_drawing
from pipeline.flow.evaluate import StepAnswers, Way, cascade

_MOST_SIMULATED = 20_000
"""Items for which a drawing is worked out; a larger run has no worse one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """One choice of tiers for a step, and what it is expected to come to."""

    tiers: tuple[str, ...]
    thresholds: tuple[float | None, ...]
    """For each of its tiers the least confidence accepted; None: whatever it is."""
    accuracy: float
    agreement: float
    """Share of the texts whose answer is the last tier's."""
    goes_up: float
    """Share of the texts that its last tier answers."""
    seconds_per_item: float
    usd_per_item: float | None
    passes: bool
    """Whether it is good enough."""
    on_frontier: bool = False
    """Whether none is both cheaper and better."""

    @property
    def cost(self) -> float:
        """What it is ranked by: USD, or where prices are unknown seconds."""
        return self.seconds_per_item if self.usd_per_item is None else self.usd_per_item


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """All ladders of a step, the cheapest first."""

    step: str
    ladders: tuple[Ladder, ...]

    @property
    def chosen(self) -> Ladder:
        """The cheapest that is good enough; there always is one, the tier that all others are held against."""
        return next(one for one in self.ladders if one.passes)


def plan_step(step: StepAnswers, promise: Promise | None, *, items: int, tolerance: float) -> StepPlan:
    """Try every ladder on a step's answers, for a run of `items`."""
    numbers = range(len(step.tiers))
    last = numbers[-1]
    rungs = [
        chosen
        for size in range(1, len(numbers) + 1)
        for chosen in itertools.combinations(numbers, size)
        if promise is None or chosen[-1] == last
    ]
    found = [one for chosen in rungs for one in _tried(step, chosen, promise, items)]
    best = max(one.accuracy for one in found)
    if promise is None:
        found = [replace(one, passes=one.accuracy >= best - tolerance) for one in found]
    found.sort(key=lambda one: (one.cost, -one.accuracy))
    return StepPlan(step=step.step, ladders=tuple(_with_frontier(found)))


def _tried(step: StepAnswers, rungs: tuple[int, ...], promise: Promise | None, items: int) -> Iterator[Ladder]:
    lower, top = rungs[:-1], rungs[-1]
    if promise is not None:
        yield _certified(step, rungs, promise, items)
        return
    if not lower:
        yield _ladder(step, rungs, cascade(step, [None], rungs=rungs), [None], passes=True)
        return
    for least in _grid(step, lower):
        thresholds: list[float | None] = [least] * len(lower) + [None]
        yield _ladder(step, (*lower, top), cascade(step, thresholds, rungs=rungs), thresholds, passes=False)


def _grid(step: StepAnswers, lower: Sequence[int]) -> list[float]:
    seen = np.concatenate([step.tiers[number].chances[~np.isnan(step.tiers[number].chances)] for number in lower])
    return np.unique(np.round(np.quantile(seen, np.linspace(0, 1, 21)), 4)).tolist() if len(seen) else []


def _certified(step: StepAnswers, rungs: tuple[int, ...], promise: Promise, items: int) -> Ladder:
    """Work out what a certificate would allow a ladder, if the sample is like the run."""
    lower, top = rungs[:-1], rungs[-1]
    everything_up: list[float | None] = [1.01] * len(lower) + [None]
    if not lower:
        return _ladder(step, rungs, cascade(step, [None], rungs=rungs), [None], passes=True)
    chances = np.stack([np.where(step.tiers[n].usable, step.tiers[n].chances, np.nan) for n in lower], axis=1)
    path = common_path(chances)
    entries = path.entries(chances)
    accepted_from = entries.min(axis=1)
    surest = np.where(np.isnan(chances), 0.0, chances).max(axis=1)
    times = max(1, min(items, _MOST_SIMULATED) // len(step.gold))
    drawing = choose_drawing(
        promise, np.tile(accepted_from, times), np.tile(1.0 - surest, times), steps=len(path.thresholds)
    )
    if drawing is None:
        return _ladder(step, rungs, cascade(step, everything_up, rungs=rungs), everything_up, passes=True)
    least = _allowed(step, lower, promise, path.thresholds)
    thresholds: list[float | None] = [least] * len(lower) + [None]
    way = cascade(step, thresholds, rungs=rungs)
    # Drawn texts that would have been accepted are answered by the last tier as well.
    accepted = float(np.mean((way.tiers != top) & (way.tiers >= 0)))
    kept = min(accepted * (1.0 - drawing.drawn / max(drawing.region, 1)), drawing.expected_avoided)
    return _ladder(step, rungs, way, thresholds, passes=True, drawn=accepted - kept)


def _allowed(step: StepAnswers, lower: Sequence[int], promise: Promise, path: Sequence[Sequence[float]]) -> float:
    """Return the loosest common threshold at which no more of the sample differs from the last tier than may."""
    least = 1.01
    for thresholds in path[1:]:
        way = cascade(step, [thresholds[0]] * len(lower), rungs=lower)
        rows = np.flatnonzero(way.answered)
        agree = np.stack([tier.as_top for tier in step.tiers], axis=1)
        if int(np.sum(~agree[rows, way.tiers[rows]])) > promise.budget(len(step.gold)):
            break
        least = float(thresholds[0])
    return least


def _ladder(
    step: StepAnswers,
    rungs: tuple[int, ...],
    way: Way,
    thresholds: Sequence[float | None],
    *,
    passes: bool,
    drawn: float = 0.0,
) -> Ladder:
    """`drawn`: share of the texts that is asked of the last tier only because it was drawn."""
    top = step.tiers[rungs[-1]]
    items = len(step.gold)
    agree = np.stack([tier.as_top for tier in step.tiers], axis=1)
    extra = None if way.usd_per_item is None else way.usd_per_item + drawn * float(top.usd or 0) / items
    return Ladder(
        tiers=tuple(step.tiers[number].tier for number in rungs),
        thresholds=tuple(thresholds),
        accuracy=float(way.right.mean()),
        agreement=float(np.mean(agree[np.arange(items), way.tiers] & (way.tiers >= 0))),
        goes_up=min(1.0, float(np.mean((way.tiers == rungs[-1]) | (way.tiers < 0))) + drawn),
        seconds_per_item=way.seconds_per_item + drawn * top.seconds / items,
        usd_per_item=extra,
        passes=passes,
    )


def _with_frontier(ladders: Sequence[Ladder]) -> Iterator[Ladder]:
    best = -1.0
    for one in ladders:
        yield replace(one, on_frontier=one.accuracy > best)
        best = max(best, one.accuracy)


def tiers_to_spare(plans: Sequence[StepPlan], tiers: Sequence[str]) -> list[str]:
    """Return the tiers that no chosen ladder needs."""
    needed = {name for plan in plans for name in plan.chosen.tiers}
    return [name for name in tiers if name not in needed]
