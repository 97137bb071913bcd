"""plan: ladders tried on the answers of all tiers, and written into the job file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.adapters.user_files import edited_job, load_job, write_job
from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.flow.certify import promise_of
from pipeline.flow.plan import StepPlan, plan_step
from pipeline.ports.clock import Clock
from pipeline.settings import Settings
from pipeline.wiring.evaluating import Labelled, ask_all
from pipeline.wiring.formats import Say, Show


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
    """Write the chosen ladders into a job file, and the thresholds of steps without a target; raises JobError.

    The file is read again before it takes the old one's place: a job that would not load is never written.
    """
    certified = {job.steps[number].name for number in job.certified_steps}
    thresholds: dict[str, dict[str, float]] = {}
    for plan in plans:
        for tier, least in zip(plan.chosen.tiers, plan.chosen.thresholds, strict=True):
            if plan.step not in certified and least is not None:
                thresholds.setdefault(tier, {})[plan.step] = least
    text = edited_job(path, ladders={plan.step: plan.chosen.tiers for plan in plans}, thresholds=thresholds)
    trial = path.with_name(f".{path.name}.trial")
    write_job(trial, text)
    try:
        load_job(trial)
    finally:
        trial.unlink(missing_ok=True)
    write_job(path, text)
