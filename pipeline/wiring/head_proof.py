"""Proof for tiers that learn: how often heads on a file's hidden states are right, on texts they did not learn from."""

from collections import Counter
from contextlib import closing
from functools import partial

from pipeline.adapters.learned.engine import ask_for_head, last_of, states_of
from pipeline.domain.errors import ConfigError
from pipeline.domain.learned import classes_of
from pipeline.domain.outcomes import Given
from pipeline.domain.steps import Choice
from pipeline.flow.learning import LEAST_ROWS, learn_choice
from pipeline.flow.samples import Answers, Sample, SampleStep
from pipeline.ports.engine import Ask, Engine
from pipeline.wiring.formats import Show, Written, engine_over
from pipeline.wiring.learning import mixed
from pipeline.wiring.school import School
from pipeline.wiring.teaching import FREEDOMS, heads

_SLICE = 64
_LEAST_OF_A_LABEL = 5


def head_sample(sample: Sample) -> Sample:
    """Return the steps that heads can be learned for, their texts mixed; raises ConfigError where there is none."""
    steps = [mixed(step) for step in sample.steps if _options(step) and step.gold is not None]
    steps = [step for step in steps if len(step.texts) >= LEAST_ROWS and _can_be_told_apart(step)]
    if not steps:
        raise ConfigError(
            f"{sample.name} teaches no head: give --sample with {LEAST_ROWS} or more different texts and their "
            f"`label`, two labels at least on {_LEAST_OF_A_LABEL} of them each"
        )
    return Sample(name=sample.name, steps=steps)


def head_answers(one: Written, sample: Sample, show: Show) -> tuple[Answers, float]:
    """Put a sample to a file; returns its own answers, and which share of all texts heads get right."""
    answers: dict[str, list[Given]] = {}
    right = 0.0
    with closing(engine_over(one, hidden_states=True)) as engine:
        for step in sample.steps:
            answers[step.name] = given = _read(engine, one, step, show)
            right += len(given) * _accuracy(one, step, given, show)
    return answers, right / sample.size


def _options(step: SampleStep) -> tuple[str, ...]:
    form = step.asking.questions[0].form
    return form.options if isinstance(form, Choice) and len(step.asking.questions) == 1 else ()


def _can_be_told_apart(step: SampleStep) -> bool:
    """Whether two labels stand on so many texts each that every part of them has some."""
    return sum(count >= _LEAST_OF_A_LABEL for count in Counter(step.gold or ()).values()) > 1


def _read(engine: Engine, one: Written, step: SampleStep, show: Show) -> list[Given]:
    (question,) = step.asking.questions
    asks = [ask_for_head(Ask(question=question, text=text, on_long="truncate")) for text in step.texts]
    given: list[Given] = []
    for at in range(0, len(asks), _SLICE):
        given += [answer for answer in engine.answer(asks[at : at + _SLICE]).given if answer is not None]
        show(f"{one.format}: reading for {step.name}", len(given), len(asks), "")
    return given


def _accuracy(one: Written, step: SampleStep, given: list[Given], show: Show) -> float:
    """Return the share that a head alone gets right, each fifth of the texts by what the others taught.

    No words stand beside it: they would make up for what a format spoils. 0 where numbers are missing or none.
    """
    if any(answered.hidden is None for answered in given):
        return 0.0
    options = _options(step)
    states, shares = states_of(given, options)
    classes = classes_of(step.gold or (), options)
    school = School(
        states=states, shares=shares, texts=step.texts, classes=classes, width=len(options) + 1, last=last_of(given)
    )
    shown = partial(_shown, show, f"{one.format}: learning {step.name}")
    return learn_choice(
        {str(way): fit for way, fit in heads(school, FREEDOMS).items()}, classes, None, shown
    ).figures.accuracy


def _shown(show: Show, title: str, done: int, of: int) -> None:
    show(title, done + 1, of, "")
