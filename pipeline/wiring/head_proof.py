"""Proof for tiers that learn: how often heads on a file's hidden states are right, on texts they did not learn from."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from pipeline.adapters.learned.engine import ask_for_head
from pipeline.domain.errors import ConfigError
from pipeline.domain.learned import classes_of
from pipeline.domain.outcomes import Given
from pipeline.domain.steps import Choice
from pipeline.flow.learning import LEAST_ROWS, learn_choice
from pipeline.flow.samples import Answers, Sample, SampleStep
from pipeline.ports.engine import Ask
from pipeline.wiring.formats import Show, Written, engine_over
from pipeline.wiring.learning import mixed
from pipeline.wiring.school import heads
from pipeline.wiring.teaching import FREEDOMS, answered, school_of

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
            reading, learning = (f"{one.format}: {what} {step.name}" for what in ("reading for", "learning"))
            given = answered(engine, _asks(step), partial(_shown, show, reading))
            right += len(given) * _accuracy(step, given, partial(_shown, show, learning))
            answers[step.name] = given
    return answers, right / sample.size


def _options(step: SampleStep) -> tuple[str, ...]:
    form = step.asking.questions[0].form
    return form.options if isinstance(form, Choice) and len(step.asking.questions) == 1 else ()


def _can_be_told_apart(step: SampleStep) -> bool:
    """Whether two labels stand on so many texts each that every part of them has some."""
    return sum(count >= _LEAST_OF_A_LABEL for count in Counter(step.gold or ()).values()) > 1


def _asks(step: SampleStep) -> list[Ask]:
    (question,) = step.asking.questions
    return [ask_for_head(Ask(question=question, text=text, on_long="truncate")) for text in step.texts]


def _accuracy(step: SampleStep, given: Sequence[Given], show: Callable[[int, int], None]) -> float:
    """Return the share that a head alone gets right, each fifth of the texts by what the others taught.

    No words stand beside it: they would make up for what a format spoils. 0 where numbers are missing or none.
    """
    if any(one.hidden is None for one in given):
        return 0.0
    classes = classes_of(step.gold or (), _options(step))
    ways = heads(school_of(given, _options(step), step.texts, classes), FREEDOMS)
    return learn_choice({str(way): fit for way, fit in ways.items()}, classes, None, show).figures.accuracy


def _shown(show: Show, title: str, done: int, of: int) -> None:
    show(title, done, of, "")
