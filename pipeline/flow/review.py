"""Review: other thresholds proposed from an evaluation, or from what certificates of recent runs came to."""

from collections.abc import Sequence

from pipeline.domain.certify import Certificate
from pipeline.domain.job import Job
from pipeline.domain.review import ABOVE_ALL, Change, Expected, Proposal
from pipeline.flow.evaluation import Evaluation, StepEvaluation
from pipeline.ports.store import Concluded, RunRecord

_SAME = 1e-4
_CHEAPER = 0.99
"""Costs that differ by less are the same: calls do not take the same time twice."""
_MARGIN = 0.05
"""How far below the lowest threshold of recent certificates an answer is still held: the next run may allow more."""


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


def propose_from_runs(job: Job, runs: Sequence[tuple[RunRecord, Sequence[Concluded]]], *, made_at: str) -> Proposal:
    """Propose, for each step with a target, what need not be held at all: no certificate of late has let it stand.

    Such answers then go up at once and do not wait for the end of the run. Certificates that were withdrawn do not
    count, nor runs in which the step's ladder was another.
    """
    changes: list[Change] = []
    used: set[str] = set()
    for number in job.certified_steps:
        tiers = [job.tiers[tier_no].name for tier_no in job.ladder(number)]
        lowest: dict[str, float] = {}
        for run, decided in runs:
            for thresholds in _certified(run.job, decided, job.steps[number].name, tiers):
                used.add(run.name)
                for tier, threshold in zip(tiers, thresholds, strict=False):
                    lowest[tier] = min(threshold, lowest.get(tier, ABOVE_ALL))
        for tier_no in job.ladder(number)[:-1]:
            tier, now = job.tiers[tier_no].name, job.threshold(number, tier_no)
            proposed = round(max(0.0, lowest.get(tier, 0.0) - _MARGIN), 4)
            if proposed > (now or 0.0) + _SAME:
                changes.append(Change(step=job.steps[number].name, tier=tier, now=now, proposed=proposed))
    names = ", ".join(run.name for run, _ in runs if run.name in used)
    return Proposal(job=job.name, evaluation=names, made_at=made_at, change=tuple(changes), expected=())


def _certified(job: Job, decided: Sequence[Concluded], step: str, tiers: Sequence[str]) -> list[tuple[float, ...]]:
    found = []
    for one in decided:
        number = one.window.step_no
        ladder = [job.tiers[tier_no].name for tier_no in job.ladder(number)]
        kept = one.audit is None or not one.audit.withdrawn
        if job.steps[number].name == step and ladder == list(tiers) and isinstance(one.decision, Certificate) and kept:
            found.append(one.decision.thresholds)
    return found
