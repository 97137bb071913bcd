"""An evaluation: what is kept of one, and what two of them say of each other. Holds no text and no record's values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipeline.domain.calibration import calibration_error, excess_calibration_error
from pipeline.domain.curves import Floats
from pipeline.domain.metrics import (
    Difference,
    Truths,
    area_under_risk,
    bins_of,
    brier,
    field_f1,
    macro_f1,
    paired_difference,
    risk_coverage,
)
from pipeline.flow.evaluate import (
    StepAnswers,
    Way,
    alone,
    at_target,
    cascade,
    frontier,
    hardest,
    job_thresholds,
    without_top,
)
from pipeline.flow.scoring import same

_SEED = 20261127
_POINTS = 50
_NONE = "(none)"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WayFigures(_Kept):
    """How good one way of answering a step is. Shares are between 0 and 1; None: nothing to count."""

    name: str
    accuracy: float
    """Share of texts that are answered right; for a record every field must be."""
    f1: float | None
    """Of labels the mean over labels; of records over all their values."""
    answered: float
    ece: float | None
    ece_excess: float | None
    brier: float | None
    area_under_risk: float | None
    hard_fifth: float
    """Accuracy on the fifth of the texts that the first tier is least sure of."""
    slices: Mapping[str, float]
    taken: Mapping[str, float]
    """Tier → share of the texts whose answer it gives."""
    escalated: float
    """Share of the texts that the first tier does not answer."""
    seconds_per_item: float
    usd_per_item: float | None
    right: str
    """A 1 or a 0 for each text, in the order of the keys."""
    reliability: Sequence[tuple[float, float, int]]
    """(mean confidence, share right, how many), ten bins of equally many."""
    risk: Sequence[tuple[float, float]]
    """(share answered, share of these that are wrong), from the surest on."""
    confusion: Mapping[str, Mapping[str, int]]
    """Gold label → answered label → how many; empty for records."""


class Earns(_Kept):
    """What the last tier adds to those below it."""

    change: float
    low: float
    high: float
    usd_per_item: float | None
    """What it adds to a text's cost."""
    usd_per_gain: float | None
    """Of one more right answer; None where there is none, or costs are unknown."""
    clear: bool


class StepEvaluation(_Kept):
    """One step."""

    step: str
    kind: str
    ways: Sequence[WayFigures]
    """Each tier alone, cheapest first, and then the cascade."""
    frontier: Sequence[tuple[float, float, float | None, float]]
    """(threshold, accuracy, USD per text, seconds per text) of the cascade."""
    target: float | None
    threshold: float | None
    """With a target: the common threshold that this sample would allow, in hindsight."""
    earns: Earns | None
    """None where there is only one tier."""


class Evaluation(_Kept):
    """All steps of a job on one labelled set."""

    name: str
    made_at: str
    job: str
    job_digest: str
    models: Mapping[str, str]
    """Tier → what answered."""
    keys: Mapping[str, Sequence[str]]
    """Step → fingerprints of its texts."""
    steps: Sequence[StepEvaluation]


class Moved(_Kept):
    """What moved between two evaluations, for one way of answering one step."""

    step: str
    way: str
    items: int
    before: float
    after: float
    change: float
    low: float
    high: float
    gained: int
    lost: int
    clear: bool


def evaluate_step(step: StepAnswers, *, kind: str, target: float | None) -> StepEvaluation:
    """Work out all figures of a step."""
    threshold: float | None = None
    if target is not None and len(step.tiers) > 1:
        threshold, chosen = at_target(step, target)
    else:
        chosen = cascade(step, job_thresholds(step))
    ways = [alone(step, number) for number in range(len(step.tiers))]
    ways += [chosen] if len(step.tiers) > 1 else []
    hard = hardest(step)
    return StepEvaluation(
        step=step.step,
        kind=kind,
        ways=tuple(_figures(step, way, hard, name="cascade" if way is chosen else way.name) for way in ways),
        frontier=tuple(
            (least, float(way.right.mean()), way.usd_per_item, way.seconds_per_item) for least, way in frontier(step)
        ),
        target=target,
        threshold=threshold,
        earns=_earns(step, chosen) if len(step.tiers) > 1 else None,
    )


def moved(before: Evaluation, after: Evaluation) -> list[Moved]:
    """Compare two evaluations on the texts that both have, step by step and way by way."""
    found = []
    for old, new in ((old, new) for old in before.steps for new in after.steps if old.step == new.step):
        olds = {key: number for number, key in enumerate(before.keys[old.step])}
        common = [(olds[key], number) for number, key in enumerate(after.keys[new.step]) if key in olds]
        ways = {way.name: way for way in new.ways}
        for way in old.ways:
            if way.name in ways and common:
                first = _truths(way.right)[[pair[0] for pair in common]]
                second = _truths(ways[way.name].right)[[pair[1] for pair in common]]
                found.append(_moved(old.step, way.name, first, second))
    return found


def _moved(step: str, way: str, before: Truths, after: Truths) -> Moved:
    found = _difference(before, after)
    return Moved(
        step=step,
        way=way,
        items=len(before),
        before=float(before.mean()),
        after=float(after.mean()),
        change=found.change,
        low=found.low,
        high=found.high,
        gained=found.gained,
        lost=found.lost,
        clear=found.is_clear,
    )


def _difference(before: Truths, after: Truths) -> Difference:
    found = paired_difference(before, after, np.random.default_rng(_SEED))
    if found is None:
        raise ValueError("there are no texts to compare")
    return found


def _truths(right: str) -> Truths:
    return np.array([sign == "1" for sign in right], dtype=np.bool_)


def _earns(step: StepAnswers, chosen: Way) -> Earns:
    below = without_top(step)
    found = _difference(below.right, chosen.right)
    known = chosen.usd_per_item is not None and below.usd_per_item is not None
    more = (chosen.usd_per_item or 0.0) - (below.usd_per_item or 0.0) if known else None
    return Earns(
        change=found.change,
        low=found.low,
        high=found.high,
        usd_per_item=more,
        usd_per_gain=more / found.change if more is not None and found.change > 0 else None,
        clear=found.is_clear,
    )


def _figures(step: StepAnswers, way: Way, hard: Truths, *, name: str) -> WayFigures:
    known = way.answered & ~np.isnan(way.chances)
    chances, right = way.chances[known], way.right[known]
    rng = np.random.default_rng(_SEED)
    tiers = {tier.tier: float(np.mean(way.tiers == number)) for number, tier in enumerate(step.tiers)}
    return WayFigures(
        name=name,
        accuracy=float(way.right.mean()),
        f1=_f1(step, way),
        answered=float(way.answered.mean()),
        ece=calibration_error(chances.tolist(), right.tolist()),
        ece_excess=excess_calibration_error(chances.tolist(), right.tolist(), rng),
        brier=brier(chances, right),
        area_under_risk=area_under_risk(chances, right),
        hard_fifth=float(way.right[hard].mean()),
        slices={one: float(way.right[some].mean()) for one, some in step.slices.items() if some.any()},
        taken=tiers,
        escalated=1.0 - tiers[step.tiers[0].tier],
        seconds_per_item=way.seconds_per_item,
        usd_per_item=way.usd_per_item,
        right="".join("1" if one else "0" for one in way.right.tolist()),
        reliability=tuple(bins_of(chances, right)),
        risk=tuple(_risk(chances, right, len(step.gold))),
        confusion=_confusion(step, way),
    )


def _f1(step: StepAnswers, way: Way) -> float | None:
    if any(isinstance(one, Mapping) for one in step.gold):
        said = [one if isinstance(one, Mapping) else {} for one in way.values]
        matches = [
            {name: same(one.get(name), value) for name, value in gold.items()}
            for one, gold in zip(said, step.gold, strict=True)
        ]
        return field_f1(said, step.gold, matches)
    if _has_labels(step):
        return macro_f1([one if isinstance(one, str) else None for one in way.values], step.gold)
    return None


def _has_labels(step: StepAnswers) -> bool:
    """Whether gold is a label, or that none fits."""
    return all(one is None or isinstance(one, str) for one in step.gold)


def _risk(chances: Floats, right: Truths, items: int) -> list[tuple[float, float]]:
    if not len(right):
        return []
    curve = risk_coverage(chances, right)
    places = np.unique(np.linspace(0, len(curve) - 1, _POINTS).astype(int))
    return [(float((place + 1) / items), float(curve[place])) for place in places]


def _confusion(step: StepAnswers, way: Way) -> dict[str, dict[str, int]]:
    if not _has_labels(step):
        return {}
    table: dict[str, dict[str, int]] = {}
    for gold, said in zip(step.gold, way.values, strict=True):
        row = table.setdefault(_NONE if gold is None else gold, {})
        word = said if isinstance(said, str) else _NONE
        row[word] = row.get(word, 0) + 1
    return table


def evaluation_json(found: Evaluation) -> dict[str, Any]:
    """Return the script contract: all but what only serves to compare and to draw."""
    hidden = {"right", "reliability", "risk", "confusion"}
    kept = found.model_dump(mode="json", exclude={"keys"})
    for step in kept["steps"]:
        step["ways"] = [{name: value for name, value in way.items() if name not in hidden} for way in step["ways"]]
    return kept
