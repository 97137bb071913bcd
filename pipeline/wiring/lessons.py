"""What tiers have learned, found for a run: each tier is bound to it when its job is read, and loads it to answer."""

from collections.abc import Mapping

from pipeline.adapters.learned.files import LearnedFiles, Lesson
from pipeline.domain.errors import ModelError
from pipeline.domain.job import Job
from pipeline.domain.learned import options_digest
from pipeline.domain.steps import Choice, Step
from pipeline.domain.tiers import Tier
from pipeline.settings import Settings
from pipeline.telemetry import logger

FOLDER = "learned"


def learned_files(settings: Settings) -> LearnedFiles:
    """Return the files of what was learned on this machine."""
    return LearnedFiles(settings.models_folder / FOLDER)


def lesson_of(pinned: str, settings: Settings) -> Lesson:
    """Load what a tier has learned; raises ModelError."""
    return learned_files(settings).load(pinned)


def calibrated_steps(tier: Tier, settings: Settings) -> frozenset[str]:
    """Return the steps about whose answers a tier has learned how sure to be; raises ModelError as `load` does."""
    files = learned_files(settings)
    pinned = None if tier.lesson is None else files.pinned(tier.lesson)
    steps = () if pinned is None else files.about(pinned).steps
    return frozenset(one.step for one in steps if one.curve is not None)


def with_lessons(job: Job, settings: Settings) -> Job:
    """Return the job with each learning tier bound to the latest learning of its name: another one is another job.

    Where nothing has been learned yet the job goes on without: a classical tier is left out, a llama tier is believed
    as it says. Raises ModelError where a step has no other tier, or where its labels are not those that were learned.
    """
    files = learned_files(settings)
    bound = {tier.name: _bound(tier, files) for tier in job.tiers}
    ladders = {step.name: _ladder(job, number, bound, files) for number, step in enumerate(job.steps)}
    asked = {name for ladder in ladders.values() for name in ladder}
    tiers = [one for name, one in bound.items() if one is not None and (name in asked or one.engine != "classical")]
    steps = [
        step if ladders[step.name] == _names(job, number) else step.model_copy(update={"ladder": ladders[step.name]})
        for number, step in enumerate(job.steps)
    ]
    return _with_target(job.model_copy(update={"tiers": tuple(tiers), "steps": tuple(steps)}))


def _ladder(job: Job, step_no: int, bound: Mapping[str, Tier | None], files: LearnedFiles) -> tuple[str, ...]:
    """Return the tiers of a step's ladder that can answer it; raises ModelError where there is none."""
    names = _names(job, step_no)
    able = tuple(name for name in names if _can(bound[name], job.steps[step_no], files))
    if not able:
        raise ModelError(
            f"step {job.steps[step_no].name} is answered by tier {names[-1]} alone, which has not learned it: headrace "
            "learn JOB"
        )
    return able


def _names(job: Job, step_no: int) -> tuple[str, ...]:
    return tuple(job.tiers[number].name for number in job.ladder(step_no))


def _with_target(job: Job) -> Job:
    """Return the job with a target for the steps that still have somebody to be compared with."""
    if job.target is None:
        return job
    alone = {step.name for number, step in enumerate(job.steps) if len(job.ladder(number)) == 1}
    agreement = {name: share for name, share in job.target.agreement.items() if name not in alone}
    target = job.target.model_copy(update={"agreement": agreement})
    left = job.model_copy(update={"target": target})
    return left if left.certified_steps else job.model_copy(update={"target": None})


def _bound(tier: Tier, files: LearnedFiles) -> Tier | None:
    if tier.lesson is None:
        return tier
    pinned = files.pinned(tier.lesson)
    if pinned is not None:
        return tier.pinned(pinned)
    logger().warning("nothing_learned_yet", tier=tier.name, learned=tier.lesson, mend="headrace learn JOB INPUT")
    return None if tier.engine == "classical" else tier.model_copy(update={"learned": None})


def _can(tier: Tier | None, step: Step, files: LearnedFiles) -> bool:
    """Whether a tier can answer a step; raises ModelError where a classical one learned other labels of it."""
    if tier is None or tier.engine != "classical":
        return tier is not None
    one = files.about(tier.model).of(step.name)
    if one is None:
        return False
    options = step.form.options if isinstance(step.form, Choice) else ()
    if one.asked != options_digest(step.name, options):
        raise ModelError(
            f"tier {tier.name} learned step {step.name} with other labels than it has now: headrace learn JOB, or "
            "leave the tier out of the step's `ladder`"
        )
    return True
