"""Review: other thresholds proposed from an evaluation."""

from pipeline.domain.job import Job
from pipeline.domain.review import ABOVE_ALL, Change, Expected, Proposal
from pipeline.flow.evaluation import Evaluation, StepEvaluation

_SAME = 1e-4
_CHEAPER = 0.99
"""Costs that differ by less are the same: calls do not take the same time twice."""


def propose(job: Job, evaluation: Evaluation, *, tolerance: float, made_at: str) -> Proposal:
    """Propose, for each step without a target, the cheapest common threshold that is right nearly as often as the best.

    `tolerance` is how much less right it may be. Steps with one tier, and thresholds that would be neither cheaper nor
    more right, are left out.
    """
    changes: list[Change] = []
    expected: list[Expected] = []
    for number, step in enumerate(job.steps):
        found = next((one for one in evaluation.steps if one.step == step.name), None)
        ladder = job.ladder(number)
        if found is None or not found.frontier or len(ladder) == 1 or number in job.certified_steps:
            continue
        least, accuracy, usd, seconds = _cheapest(found, tolerance)
        wanted = [
            Change(step=step.name, tier=job.tiers[tier_no].name, now=job.threshold(number, tier_no), proposed=least)
            for tier_no in ladder[:-1]
        ]
        wanted = [one for one in wanted if one.now is None or abs(one.now - one.proposed) > _SAME]
        now = found.ways[-1]
        before, after = (now.seconds_per_item, seconds) if usd is None else (now.usd_per_item or 0.0, usd)
        if wanted and (accuracy > now.accuracy or after < before * _CHEAPER):
            changes += wanted
            expected.append(
                Expected(
                    step=step.name,
                    texts=len(now.right),
                    accuracy_now=round(now.accuracy, 4),
                    accuracy_then=round(accuracy, 4),
                    usd_per_item_now=now.usd_per_item,
                    usd_per_item_then=usd,
                )
            )
    return Proposal(
        job=job.name, evaluation=evaluation.name, made_at=made_at, change=tuple(changes), expected=tuple(expected)
    )


def _cheapest(step: StepEvaluation, tolerance: float) -> tuple[float, float, float | None, float]:
    best = max(accuracy for _, accuracy, _, _ in step.frontier)
    good = [one for one in step.frontier if one[1] >= best - tolerance]
    least, accuracy, usd, seconds = min(good, key=lambda one: one[3] if one[2] is None else one[2])
    return round(min(least, ABOVE_ALL), 4), accuracy, usd, seconds
