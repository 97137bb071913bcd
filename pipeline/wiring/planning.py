"""plan: ladders tried on the answers of all tiers, and written into the job file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.flow.certify import promise_of
from pipeline.flow.plan import StepPlan, plan_step
from pipeline.ports.clock import Clock
from pipeline.settings import Settings
from pipeline.wiring.evaluating import Labelled, ask_all
from pipeline.wiring.formats import Say, Show
from pipeline.wiring.policies import edit_job


def plan_steps(
    job: Job,
    labelled: Mapping[int, Labelled],
    prices: PriceBook,
    settings: Settings,
    *,
    run_items: int,
    tolerance: float,
    clock: Clock,
    say: Say,
    show: Show,
) -> list[StepPlan]:
    """Ask every tier everything that is labelled, and try every ladder for a run of `run_items`."""
    asked = ask_all(job, labelled, prices, settings, clock=clock, say=say, show=show)
    return [
        plan_step(
            answers,
            promise_of(job, number) if number in job.certified_steps else None,
            items=run_items,
            tolerance=tolerance,
        )
        for number, answers in asked.steps.items()
    ]


def apply_plans(path: Path, job: Job, plans: Sequence[StepPlan]) -> None:
    """Write the chosen ladders into a job file, and the thresholds of steps without a target; raises JobError."""
    certified = {job.steps[number].name for number in job.certified_steps}
    thresholds: dict[str, dict[str, float]] = {}
    for plan in plans:
        for tier, least in zip(plan.chosen.tiers, plan.chosen.thresholds, strict=True):
            if plan.step not in certified and least is not None:
                thresholds.setdefault(tier, {})[plan.step] = least
    edit_job(path, ladders={plan.step: plan.chosen.tiers for plan in plans}, thresholds=thresholds)
