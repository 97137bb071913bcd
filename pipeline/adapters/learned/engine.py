"""Engines that answer by what was learned: by words alone, or on top of another engine's hidden states."""

import dataclasses
import time
import uuid
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.learned.both import Both
from pipeline.adapters.learned.files import Chooser, Lesson
from pipeline.adapters.learned.heads import Head
from pipeline.adapters.learned.words import Words
from pipeline.domain.answers import Defect, Label, Malformed, Usage
from pipeline.domain.errors import ModelError
from pipeline.domain.learned import LearnedStep, Seen, options_digest, said_signals
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import Confidence, RawScore
from pipeline.domain.steps import Choice
from pipeline.ports.engine import Ask, BeatingEngine, Engine, Reply

SHARES_UP_TO = 8
"""With so few labels a head also sees the chances that the model gives them: that costs next to nothing to read."""
_NOTHING_READ = Usage(tokens_in=0, tokens_cached=0, tokens_out=0)


class ClassicalEngine:
    """Answers choices by words, without any model: some ten thousand texts a second."""

    def __init__(self, lesson: Lesson, *, model_name: str) -> None:
        """Take what was learned; `model_name` is how the ledger names it."""
        self._lesson = lesson
        self._name = model_name

    @property
    def model(self) -> str:
        """What answers, as the ledger names it."""
        return self._name

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer all asks as one call; raises ModelError for a question that nothing was learned about."""
        if not asks:
            return Reply(given=(), calls=())
        started = time.perf_counter()
        given: list[Given | None] = [None] * len(asks)
        for step, places in _by_step(asks).items():
            one, words = self._of(asks[places[0]])
            if not isinstance(words, Words):
                raise ModelError(f"{self._name} learned nothing by words about step {step}: headrace learn JOB")
            seen = words.see([asks[place].text for place in places])
            for place, answered in zip(places, _answers(one, seen), strict=True):
                given[place] = answered
        seconds = time.perf_counter() - started
        call = Call(id=uuid.uuid4(), model=self._name, tokens_in=0, tokens_cached=0, tokens_out=0, seconds=seconds)
        return Reply(given=tuple(given), calls=(call,))

    def close(self) -> None:
        """Nothing to give back."""

    def _of(self, ask: Ask) -> tuple[LearnedStep, Chooser | None]:
        question = ask.question
        one = self._lesson.about.of(question.step)
        options = question.form.options if isinstance(question.form, Choice) else ()
        if one is None or one.asked != options_digest(question.step, options):
            raise ModelError(
                f"{self._name} did not learn step {question.step} with these labels: headrace learn JOB, or take the "
                "tier out of the step's ladder"
            )
        return one, self._lesson.choosers.get(question.step)


class LearnedEngine:
    """Another engine with what was learned about its answers: heads choose for it, curves say how sure to be."""

    def __init__(self, engine: Engine, lesson: Lesson, *, name: str) -> None:
        """Take both; raises ModelError where the lesson is about another model."""
        if lesson.about.model != engine.model:
            raise ModelError(
                f"{name} was learned with {lesson.about.model or 'no model'}, and the tier's model is {engine.model}: "
                "headrace learn JOB"
            )
        self._engine = engine
        self._lesson = lesson
        self._name = name

    @property
    def model(self) -> str:
        """The engine's own name: what was learned costs nothing by itself."""
        return self._engine.model

    @property
    def beats(self) -> int:
        """Those of the engine."""
        return self._engine.beats if isinstance(self._engine, BeatingEngine) else 0

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer as the engine does, and put what was learned on top.

        Raises what the engine raises, and ModelError for a step that was learned in other words.
        """
        reply = self._engine.answer([self._wanted(ask) for ask in asks])
        given = list(reply.given)
        for step, places in _by_step(asks).items():
            one = self._lesson.about.of(step)
            known = [(place, answered) for place in places if (answered := given[place]) is not None]
            if one is not None and known:
                texts = [asks[place].text for place, _ in known]
                better = self._better(one, [answered for _, answered in known], texts)
                for (place, _), improved in zip(known, better, strict=True):
                    given[place] = improved
        return dataclasses.replace(reply, given=tuple(given))

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

    def _wanted(self, ask: Ask) -> Ask:
        one = self._lesson.about.of(ask.question.step)
        if one is None:
            return ask
        if one.asked != ask.question.digest:
            raise ModelError(f"{self._name} learned step {one.step} in other words than the job's: headrace learn JOB")
        return ask_for_head(ask) if one.way == "head" else ask

    def _better(self, one: LearnedStep, given: Sequence[Given], texts: Sequence[str]) -> list[Given]:
        head = self._lesson.choosers.get(one.step)
        if isinstance(head, Head | Both):
            usable = [number for number, answered in enumerate(given) if answered.hidden is not None]
            better = list(given)
            if usable:
                states, shares = states_of([given[number] for number in usable], one.options)
                seen = head.see(states, shares, [texts[number] for number in usable])
                for number, chosen in zip(usable, _answers(one, seen), strict=True):
                    old = given[number]
                    better[number] = dataclasses.replace(
                        chosen, usage=old.usage, call_no=old.call_no, truncated=old.truncated
                    )
            return better
        signals = said_signals(given, width=len(one.curve.weights) or 1)
        sure = one.curve(np.nan_to_num(signals))
        known = ~np.isnan(signals[:, 0])
        return [
            dataclasses.replace(answered, confidence=Confidence(float(chance), calibrated=True))
            if is_known
            else answered
            for answered, chance, is_known in zip(given, sure, known, strict=True)
        ]


def ask_for_head(ask: Ask) -> Ask:
    """Return an ask whose answer holds what a head needs."""
    form = ask.question.form
    if isinstance(form, Choice) and len(form.options) <= SHARES_UP_TO and not form.full:
        question = dataclasses.replace(ask.question, form=dataclasses.replace(form, full=True))
        return dataclasses.replace(ask, question=question, hidden=True)
    return dataclasses.replace(ask, hidden=True)


def states_of(given: Sequence[Given], options: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return hidden states (answers, width) and the labels' shares (answers, options or 0)."""
    states = np.stack([answered.hidden for answered in given if answered.hidden is not None])
    with_shares = len(options) <= SHARES_UP_TO
    rows = [
        [answered.shares[option] for option in options] if with_shares and answered.shares is not None else []
        for answered in given
    ]
    return states, np.array(rows, dtype=np.float64).reshape(len(given), -1)


def _by_step(asks: Sequence[Ask]) -> Mapping[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, ask in enumerate(asks):
        places.setdefault(ask.question.step, []).append(place)
    return places


def _answers(one: LearnedStep, seen: Seen) -> list[Given]:
    best = seen.shares.argmax(axis=1)
    sure = one.curve(seen.signals)
    return [_answer(one, seen.shares[number], int(chosen), float(sure[number])) for number, chosen in enumerate(best)]


def _answer(one: LearnedStep, shares: NDArray[np.float64], chosen: int, sure: float) -> Given:
    if chosen == len(one.options):
        nothing = Malformed(defect=Defect.NONE_FITS, detail="none of the labels fits")
        return Given(answer=nothing, raw_score=None, usage=_NOTHING_READ, call_no=0)
    return Given(
        answer=Label(one.options[chosen]),
        raw_score=RawScore(min(1.0, float(shares[chosen]))),
        confidence=Confidence(sure, calibrated=True),
        shares={option: float(share) for option, share in zip(one.options, shares, strict=False)},
        usage=_NOTHING_READ,
        call_no=0,
    )
