"""What tiers have learned, found for a run: each tier is bound to it when its job is read, and loads it to answer."""

from pipeline.adapters.learned.files import LearnedFiles, Lesson
from pipeline.domain.errors import ModelError
from pipeline.domain.job import Job
from pipeline.domain.learned import Learned, options_digest
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


def with_lessons(job: Job, settings: Settings) -> Job:
    """Return the job with each learning tier bound to the latest learning of its name: another one is another job.

    Where nothing has been learned yet the job goes on without: a classical tier is left out, a llama tier is believed
    as it says. Raises ModelError where a step has no other tier, or where its labels are not those that were learned.
    """
    files = learned_files(settings)
    tiers = {tier.name: _bound(tier, files) for tier in job.tiers}
    able = {
        tier.name: None if tier.lesson is None else files.load(tier.lesson).about
        for tier in tiers.values()
        if tier is not None and tier.engine == "classical"
    }
    ladders = {
        step.name: tuple(
            job.tiers[number].name
            for number in job.ladder(step_no)
            if job.tiers[number].engine != "classical"
            or _can(able.get(job.tiers[number].name), job.tiers[number], step)
        )
        for step_no, step in enumerate(job.steps)
    }
    for step_no, step in enumerate(job.steps):
        if not ladders[step.name]:
            alone = job.tiers[job.ladder(step_no)[-1]].name
            raise ModelError(
                f"step {step.name} is answered by tier {alone} alone, which has not learned it: headrace learn"
            )
    asked = {name for ladder in ladders.values() for name in ladder}
    kept = [
        tier
        for name, tier in tiers.items()
        if tier is not None and (name in asked or job.tier(name).engine != "classical")
    ]
    steps = [
        step.model_copy(update={"ladder": ladders[step.name]}) if _shortened(job, number, ladders[step.name]) else step
        for number, step in enumerate(job.steps)
    ]
    return _with_target(job.model_copy(update={"tiers": tuple(kept), "steps": tuple(steps)}))


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


def _can(about: Learned | None, tier: Tier, step: Step) -> bool:
    """Whether a classical tier has learned a step; raises ModelError where it learned other labels of it."""
    one = None if about is None else about.of(step.name)
    if one is None:
        return False
    options = step.form.options if isinstance(step.form, Choice) else ()
    if one.asked != options_digest(step.name, options):
        raise ModelError(
            f"tier {tier.name} learned step {step.name} with other labels than it has now: headrace learn JOB, or "
            "leave the tier out of the step's `ladder`"
        )
    return True


def _shortened(job: Job, step_no: int, ladder: tuple[str, ...]) -> bool:
    return ladder != tuple(job.tiers[number].name for number in job.ladder(step_no))
