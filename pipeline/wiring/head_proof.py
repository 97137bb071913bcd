"""Proof for tiers that learn: how often heads on a file's hidden states are right, on texts they did not learn from."""

from contextlib import closing
from functools import partial

from pipeline.adapters.learned.engine import ask_for_head, last_of, states_of
from pipeline.domain.errors import ConfigError
from pipeline.domain.learned import classes_of
from pipeline.domain.outcomes import Given
from pipeline.domain.steps import Choice
from pipeline.flow.learning import LEAST_ROWS
from pipeline.flow.samples import Answers, Sample, SampleStep
from pipeline.ports.engine import Ask, Engine
from pipeline.wiring.formats import Show, Written, engine_over
from pipeline.wiring.learning import mixed
from pipeline.wiring.school import School
from pipeline.wiring.teaching import FREEDOMS, pair

_SLICE = 64


def head_sample(sample: Sample) -> Sample:
    """Return the steps that heads can be learned for, their texts mixed; raises ConfigError where there is none."""
    steps = [mixed(step) for step in sample.steps if _options(step) and step.gold is not None]
    steps = [step for step in steps if len(step.texts) >= LEAST_ROWS and len(set(step.gold or ())) > 1]
    if not steps:
        raise ConfigError(
            f"{sample.name} teaches no head: give --sample with {LEAST_ROWS} or more different texts and their `label`"
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


def _read(engine: Engine, one: Written, step: SampleStep, show: Show) -> list[Given]:
    (question,) = step.asking.questions
    asks = [ask_for_head(Ask(question=question, text=text, on_long="truncate")) for text in step.texts]
    given: list[Given] = []
    for at in range(0, len(asks), _SLICE):
        given += [answer for answer in engine.answer(asks[at : at + _SLICE]).given if answer is not None]
        show(f"{one.format}: reading for {step.name}", len(given), len(asks), "")
    return given


def _accuracy(one: Written, step: SampleStep, given: list[Given], show: Show) -> float:
    """Return the share that a head gets right, each fifth of the texts by what the others taught."""
    options = _options(step)
    states, shares = states_of(given, options)
    classes = classes_of(step.gold or (), options)
    school = School(
        states=states, shares=shares, texts=step.texts, classes=classes, width=len(options) + 1, last=last_of(given)
    )
    shown = partial(_shown, show, f"{one.format}: learning {step.name}")
    taught, _ = pair(school, classes, None, FREEDOMS, shown)
    return taught.figures.accuracy


def _shown(show: Show, title: str, done: int, of: int) -> None:
    show(title, done + 1, of, "")
