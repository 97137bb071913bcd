"""learn: the tiers of a job that can learn, taught from known answers; and what they learned, found again for a run."""

from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from pipeline.adapters.learned.files import Lesson
from pipeline.adapters.models.store import SHIPPED
from pipeline.adapters.models.tuned import TunedRecord
from pipeline.asking import askings
from pipeline.domain.errors import ConfigError, ModelError
from pipeline.domain.job import Job
from pipeline.domain.learned import Figures, Learned, LearnedStep
from pipeline.domain.tiers import Tier
from pipeline.flow.learning import (
    order_of,
)
from pipeline.flow.samples import Sample, SampleStep
from pipeline.settings import Settings
from pipeline.wiring.engines import encoder_for, llama_engine, model_for
from pipeline.wiring.formats import Say, Show
from pipeline.wiring.lessons import learned_files
from pipeline.wiring.teaching import Teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class TaughtTier:
    """What one tier has learned, and as what it is kept."""

    tier: str
    pinned: str
    steps: tuple[LearnedStep, ...]
    left_out: tuple[str, ...]
    """Steps that it learned nothing about, each with the reason."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {
            "tier": self.tier,
            "learned": self.pinned,
            "steps": [
                {
                    "step": one.step,
                    "way": one.way,
                    "half": one.half,
                    "curve": None if one.curve is None else one.curve.kind,
                    **figures_json(one.figures),
                }
                for one in self.steps
            ],
            "left_out": list(self.left_out),
        }


def figures_json(figures: Figures | None) -> dict[str, Any]:
    """Return figures for scripts, rounded to what they are worth; None for each where there are none."""
    if figures is None:
        return dict.fromkeys(Figures.model_fields)
    return {
        name: round(value, 4) if isinstance(value, float) else value for name, value in figures.model_dump().items()
    }


def learning_tiers(job: Job, only: Sequence[str], *, labelled: bool = True) -> list[int]:
    """Return the numbers of the tiers that are to learn; raises ConfigError where there is none.

    Without labels only models can: `labelled` says whether there are some.
    """
    known = {tier.name: number for number, tier in enumerate(job.tiers)}
    for name in only:
        if name not in known:
            raise ConfigError(f"job {job.name} has no tier {name!r}; it has: {', '.join(known)}")
    wanted = [number for name, number in known.items() if not only or name in only]
    able = [number for number in wanted if job.tiers[number].lesson is not None]
    if not labelled:
        able = [number for number in able if job.tiers[number].engine == "llama"]
        if not able:
            raise ConfigError(
                'no tier learns from texts without answers: give a llama tier learned = "a-name-of-yours"; classical '
                "tiers need --labels or --run"
            )
    if not able:
        raise ConfigError(
            'no tier learns: add one with engine = "classical" and model = "a-name-of-yours", or give a llama tier '
            'learned = "a-name-of-yours"'
        )
    return able


def learn(
    job: Job, tiers: Sequence[int], sample: Sample, settings: Settings, *, most_asked: int, say: Say, show: Show
) -> Iterator[TaughtTier]:
    """Teach tiers from a sample, one after the other, and keep what each learned.

    With gold answers each learns to choose and how sure to be; without, models lose their liking for some labels, and
    classical tiers are not to be among the tiers. A model is asked at most `most_asked` texts of each step. Raises
    ConfigError where a tier could learn nothing.
    """
    labelled = any(step.gold is not None for step in sample.steps)
    sample = replace(sample, steps=[mixed(one) for one in sample.steps])
    for tier_no in tiers:
        tier = job.tiers[tier_no]
        teacher = Teacher(job=job, tier_no=tier_no, show=show)
        if tier.engine == "classical":
            found, encoder = None, encoder_for(tier, settings)
            with nullcontext() if encoder is None else closing(encoder):
                chosen, left_out = teacher.by_words(sample, encoder, most_asked)
                model = None if encoder is None else encoder.model
        else:
            say(f"{tier.name}: loading {tier.model}")
            found = model_for(tier, settings)
            with closing(llama_engine(tier, found, hidden_states=labelled)) as engine:
                taught = teacher.by_model if labelled else teacher.balanced
                chosen, left_out = taught(engine, sample, most_asked)
                model = engine.model
        if not chosen:
            raise ConfigError(f"tier {tier.name} learned nothing: {'; '.join(left_out)}")
        about = Learned(model=model, steps=tuple(one for one, _ in chosen))
        choosers = {one.step: chooser for one, chooser in chosen if chooser is not None}
        for lost in _lost(tier, about, settings):
            say(f"{tier.name}: {lost}")
        for unproved in _unproved(job, tier_no, about, None if found is None else found.tuned):
            say(f"{tier.name}: {unproved}")
        pinned = learned_files(settings).keep(
            (tier.lesson or "").partition("@")[0], Lesson(about=about, choosers=choosers)
        )
        yield TaughtTier(tier=tier.name, pinned=pinned, steps=about.steps, left_out=tuple(left_out))


def _lost(tier: Tier, about: Learned, settings: Settings) -> Iterator[str]:
    """Tell what a tier's lesson knew of its steps and the next one does not: it takes the other's place whole."""
    files = learned_files(settings)
    pinned = files.pinned(tier.lesson or "")
    try:
        before = () if pinned is None else files.about(pinned).steps
    except ModelError:  # it was of no use any more
        return
    for one in before:
        now = about.of(one.step)
        if now is None:
            yield f"{one.step} is not among what it learns now: what was known of it ({one.way}) is used no more"
        elif now.curve is None and one.curve is not None:
            yield f"{one.step} had been learned from right answers ({one.way}); that is used no more"


def _unproved(job: Job, tier_no: int, about: Learned, tuned: TunedRecord | None) -> Iterator[str]:
    """Tell which steps a model answers by itself in a format that was proved for heads only."""
    if tuned is None or not tuned.heads or tuned.format == SHIPPED:
        return
    for number in askings(job, tier_no):
        name = job.steps[number].name
        one = about.of(name)
        if one is None or one.way != "head":
            yield (
                f"{name} is answered by the model itself, whose format ({tuned.format}) was proved for heads only "
                "(models tune --heads): look at how right it is, or leave the step to a tier without `learned`"
            )


def mixed(step: SampleStep) -> SampleStep:
    """Return a step with its texts in a random order, copies left out."""
    order = order_of(step.texts)
    gold = None if step.gold is None else [step.gold[number] for number in order]
    return replace(step, texts=[step.texts[number] for number in order], gold=gold)
