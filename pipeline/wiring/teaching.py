"""How one tier is taught: by words and vectors, a head on its model and a curve for how sure to be, or a balance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.learned.balance import Balance
from pipeline.adapters.learned.engine import SHARES_UP_TO, Reading, ask_for_head, ask_for_shares, last_of, states_of
from pipeline.adapters.learned.files import Chooser
from pipeline.asking import Asking, askings
from pipeline.domain.job import Job
from pipeline.domain.learned import LearnedStep, classes_of, options_digest, said_signals
from pipeline.domain.outcomes import Given
from pipeline.domain.steps import Choice, Step
from pipeline.flow.learning import (
    LEAST_ROWS,
    Rows,
    Taught,
    better,
    clearly_worse,
    learn_choice,
    learn_confidence,
    right_answers,
)
from pipeline.flow.samples import Sample, SampleStep
from pipeline.ports.encoder import Encoder
from pipeline.ports.engine import Ask, Engine
from pipeline.wiring.formats import Show
from pipeline.wiring.school import Pair, School, pair

FREEDOMS = (0.0003, 0.001, 0.003, 0.01, 0.03)
"""scikit-learn's C of heads that are tried: hidden states have more numbers than there are labelled texts."""
_VECTOR_FREEDOMS = (0.003, 0.01, 0.03, 0.1, 0.3)
"""The same on an encoder's vectors, which are shorter and made to be told apart."""
_TRIED_APART = 8
"""With so many labels at most a model for each of them is tried, too."""
_GUESSED = 50
"""So many answers of a model's own, where they cost a reading more, show whether they can compete with a head's."""
_SLICE = 64
_BALANCED_UP_TO = 32
"""Labels: a model that is balanced weighs every one of them, which for more costs more than it gains."""

Chosen: TypeAlias = tuple[LearnedStep, Chooser | None]
"""What was learned about a step, and what chooses; None where only how sure to be was learned."""


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Teaches one tier."""

    job: Job
    tier_no: int
    show: Show

    def by_words(self, sample: Sample, encoder: Encoder | None, most: int) -> tuple[list[Chosen], list[str]]:
        """Return what words, and an encoder's vectors, teach of each step, and which steps are left out and why.

        With an encoder what to take is decided on the first `most` texts.
        """
        reading = None if encoder is None else Reading(encoder)
        return self._each(sample, lambda step, _, known: self._words(step, known, reading, most))

    def by_model(self, engine: Engine, sample: Sample, most: int) -> tuple[list[Chosen], list[str]]:
        """Return the same of a model, which is asked `most` texts of each step at most."""
        return self._each(sample, lambda step, asking, known: self._model(engine, step, asking, _first(known, most)))

    def balanced(self, engine: Engine, sample: Sample, most: int) -> tuple[list[Chosen], list[str]]:
        """Return a model's liking for some labels, by texts whose answers nobody knows; `most` of each step."""
        return self._each(sample, lambda step, asking, known: self._balance(engine, step, asking, _first(known, most)))

    def _each(
        self, sample: Sample, teach: Callable[[Step, Asking, SampleStep], Chosen]
    ) -> tuple[list[Chosen], list[str]]:
        asked = askings(self.job, self.tier_no)
        known = {one.name: one for one in sample.steps}
        chosen: list[Chosen] = []
        left_out: list[str] = []
        for number, asking in asked.items():
            step = self.job.steps[number]
            if step.name not in known:
                left_out.append(f"{step.name}: no text has a known answer to it ({LEAST_ROWS} or more are needed)")
            elif len(asking.questions) > 1:
                left_out.append(f"{step.name}: it is several questions to this tier, whose answers are put together")
            else:
                try:
                    chosen.append(teach(step, asking, known[step.name]))
                except ValueError as error:
                    left_out.append(f"{step.name}: {error}")
        return chosen, left_out

    def _words(self, step: Step, known: SampleStep, reading: Reading | None, most: int) -> Chosen:
        options = step.form.options if isinstance(step.form, Choice) else ()
        classes, texts = classes_of(known.gold or (), options), known.texts
        states = np.zeros((len(texts), 0), np.float32) if reading is None else self._encoded(reading, texts, step)
        shares = np.zeros((len(texts), 0))
        school = School(states=states, shares=shares, texts=texts, classes=classes, width=len(options) + 1)
        # A head on vectors takes longer to fit than words: what to take is decided on some of many texts.
        tried = classes if reading is None else classes[:most]
        asked = options_digest(step.name, options)
        ways = {"at once": school.words(apart=False)} | (
            {"apart": school.words(apart=True)} if len(options) <= _TRIED_APART else {}
        )
        taught = learn_choice(ways, tried, None, self._progress(step))
        if reading is not None:
            found = pair(school, tried, None, _VECTOR_FREEDOMS, self._progress(step))
            if (found.taught.class_loss or 0.0) < (taught.class_loss or 0.0):
                return self._step(step, found.taught, way="vector", asked=asked, classes=classes), found.chooser
        one = self._step(step, taught, way="words", asked=asked, classes=classes)
        return one, school.fit_words(np.arange(len(classes)), apart=taught.way == "apart")

    def _encoded(self, reading: Reading, texts: Sequence[str], step: Step) -> NDArray[np.float32]:
        parts = []
        for at in range(0, len(texts), _SLICE):
            vectors, _ = reading.vectors(texts[at : at + _SLICE])
            parts.append(vectors)
            done = min(at + _SLICE, len(texts))
            self.show(f"{self.job.tiers[self.tier_no].name} reads for {step.name}", done, len(texts), "")
        return np.concatenate(parts)

    def _model(self, engine: Engine, step: Step, asking: Asking, known: SampleStep) -> Chosen:
        (question,) = asking.questions
        texts, gold = known.texts, known.gold or ()
        plain = [Ask(question=question, text=text, on_long="truncate") for text in texts]
        if not isinstance(step.form, Choice):
            own = self._own(self._answers(engine, plain, step), asking, gold)
            return self._step(step, own, way="curve", asked=question.digest), None
        given = self._answers(engine, list(map(ask_for_head, plain)), step)
        # With many labels an ask for the hidden state reads no more than that: what the model chooses is asked beside.
        guesses = len(step.form.options) > SHARES_UP_TO and not step.form.full
        said = self._answers(engine, plain[:_GUESSED], step) if guesses else given
        classes = classes_of(gold, step.form.options)
        right = right_answers([asking.merge([one]) for one in said], gold[: len(said)])
        try:
            found = self._head(step, given, texts, classes, float(right.mean()))
            taught, head, half = found.taught, found.chooser, found.half
        except ValueError:  # one class only: there is nothing to choose
            taught, head, half = None, None, False
        if taught is None or not clearly_worse(right, taught.figures.accuracy):
            said += self._answers(engine, plain[len(said) :], step)
            own = self._own(said, asking, gold)
            taught = better(taught, own)
            if taught is own:
                return self._step(step, own, way="curve", asked=question.digest), None
        one = self._step(step, taught, way="head", asked=question.digest, classes=classes)
        return one.model_copy(update={"half": half}), head

    def _balance(self, engine: Engine, step: Step, asking: Asking, known: SampleStep) -> Chosen:
        (question,) = asking.questions
        options = step.form.options if isinstance(step.form, Choice) else ()
        if not options:
            raise ValueError("a record has no labels that a model could like more than others")
        if len(options) > _BALANCED_UP_TO:
            raise ValueError(f"it has {len(options)} labels: {_BALANCED_UP_TO} at most are weighed one by one")
        if len(known.texts) < LEAST_ROWS:
            raise ValueError(f"{len(known.texts)} texts are too few: {LEAST_ROWS} or more show what a model likes")
        asks = [ask_for_shares(Ask(question=question, text=text, on_long="truncate")) for text in known.texts]
        told = [given.shares for given in self._answers(engine, asks, step) if given.shares is not None]
        balance = Balance.fit(np.array([[shares[option] for option in options] for shares in told]))
        one = LearnedStep(
            step=step.name,
            way="balance",
            asked=question.digest,
            options=options,
            knows_none=False,
            curve=None,
            figures=None,
        )
        return one, balance

    @staticmethod
    def _own(given: Sequence[Given], asking: Asking, gold: Sequence[Any]) -> Taught:
        """Learn how sure to be of the model's own answers; those without a probability teach nothing."""
        right = right_answers([asking.merge([one]) for one in given], gold)
        signals = said_signals(given)
        known = ~np.isnan(signals[:, 0])
        taught = learn_confidence(signals[known], right[known])
        figures = taught.figures.model_copy(update={"accuracy": float(right.mean()), "before": float(right.mean())})
        return replace(taught, figures=figures)

    def _head(self, step: Step, given: Sequence[Given], texts: Sequence[str], classes: Rows, before: float) -> Pair:
        options = step.form.options if isinstance(step.form, Choice) else ()
        return pair(school_of(given, options, texts, classes), classes, before, FREEDOMS, self._progress(step))

    def _answers(self, engine: Engine, asks: Sequence[Ask], step: Step) -> list[Given]:
        title = f"{self.job.tiers[self.tier_no].name} answers {step.name}"
        return answered(engine, asks, lambda done, of: self.show(title, done, of, ""))

    def _progress(self, step: Step) -> Callable[[int, int], None]:
        title = f"{self.job.tiers[self.tier_no].name} learns {step.name}"
        return lambda done, of: self.show(title, done + 1, of, "")

    @staticmethod
    def _step(step: Step, taught: Taught, *, way: Any, asked: str, classes: Rows | None = None) -> LearnedStep:  # noqa: ANN401
        options = step.form.options if isinstance(step.form, Choice) else ()
        return LearnedStep(
            step=step.name,
            way=way,
            asked=asked,
            options=options,
            knows_none=classes is not None and bool(np.any(classes == len(options))),
            curve=taught.curve,
            figures=taught.figures,
        )


def answered(engine: Engine, asks: Sequence[Ask], show: Callable[[int, int], None]) -> list[Given]:
    """Put asks to an engine, some at a time; `show(answered, of)` is called as it goes on."""
    given: list[Given] = []
    for at in range(0, len(asks), _SLICE):
        given += [one for one in engine.answer(asks[at : at + _SLICE]).given if one is not None]
        show(len(given), len(asks))
    return given


def school_of(given: Sequence[Given], options: Sequence[str], texts: Sequence[str], classes: Rows) -> School:
    """Return what a model made of texts, ready to learn from."""
    states, shares = states_of(given, options)
    width, last = len(options) + 1, last_of(given)
    return School(states=states, shares=shares, texts=texts, classes=classes, width=width, last=last)


def _first(step: SampleStep, most: int) -> SampleStep:
    return replace(step, texts=step.texts[:most], gold=None if step.gold is None else step.gold[:most])
