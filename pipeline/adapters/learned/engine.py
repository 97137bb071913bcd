"""Engines that answer by what was learned: by words and vectors, or on top of another engine's hidden states."""

import dataclasses
import time
import uuid
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.learned.balance import Balance
from pipeline.adapters.learned.both import Both
from pipeline.adapters.learned.files import Lesson
from pipeline.adapters.learned.heads import Head
from pipeline.adapters.learned.words import Words
from pipeline.domain.answers import Defect, Label, Malformed, Usage
from pipeline.domain.errors import ModelError
from pipeline.domain.learned import LearnedStep, Seen, options_digest, said_signals
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import Confidence, RawScore
from pipeline.domain.steps import Choice
from pipeline.ports.encoder import Encoder
from pipeline.ports.engine import Ask, BeatingEngine, Engine, Reply

SHARES_UP_TO = 8
"""With so few labels a head also sees the chances that the model gives them: that costs next to nothing to read."""
_NOTHING_READ = Usage(tokens_in=0, tokens_cached=0, tokens_out=0)


class ClassicalEngine:
    """Answers choices by words, some ten thousand texts a second, and by what an encoder makes of a text."""

    def __init__(self, lesson: Lesson, *, model_name: str, encoder: Encoder | None = None) -> None:
        """Take what was learned; `model_name` is how the ledger names it.

        Raises ModelError where it was learned with another encoder, or with one and there is none now.
        """
        lesson.about.refuse_other_model(None if encoder is None else encoder.model, name=model_name)
        self._lesson = lesson
        self._name = model_name
        self._encoder = encoder

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
        read = Reading(self._encoder)
        for step, places in _by_step(asks).items():
            one, chooser = self._of(asks[places[0]])
            if chooser is None:
                raise ModelError(f"{self._name} learned nothing by words about step {step}: headrace learn JOB")
            texts = [asks[place].text for place in places]
            if isinstance(chooser, Words):
                seen, used = chooser.see(texts), [_NOTHING_READ] * len(texts)
            else:
                vectors, used = read.vectors(texts)
                seen = chooser.see(vectors, np.zeros((len(texts), 0)), texts)
            for place, answered, usage in zip(places, _answers(one, seen), used, strict=True):
                given[place] = dataclasses.replace(answered, usage=usage)
        usages = [one.usage for one in given if one is not None]
        call = Call(
            id=uuid.uuid4(),
            model=self._name,
            tokens_in=sum(usage.tokens_in or 0 for usage in usages),
            tokens_cached=sum(usage.tokens_cached or 0 for usage in usages),
            tokens_out=0,
            seconds=time.perf_counter() - started,
        )
        return Reply(given=tuple(given), calls=(call,))

    def close(self) -> None:
        """Close the encoder."""
        if self._encoder is not None:
            self._encoder.close()

    def _of(self, ask: Ask) -> tuple[LearnedStep, Words | Head | Both | None]:
        question = ask.question
        one = self._lesson.about.of(question.step)
        options = question.form.options if isinstance(question.form, Choice) else ()
        if one is None or one.asked != options_digest(question.step, options):
            raise ModelError(
                f"{self._name} did not learn step {question.step} with these labels: headrace learn JOB, or take the "
                "tier out of the step's ladder"
            )
        chooser = self._lesson.choosers.get(question.step)
        return one, chooser if isinstance(chooser, Words | Head | Both) else None


class Reading:
    """What an encoder has read so far: a text that several steps ask about is read once."""

    def __init__(self, encoder: Encoder | None) -> None:
        """Begin with nothing read."""
        self._encoder = encoder
        self._known: dict[str, tuple[NDArray[np.float32], int]] = {}

    def vectors(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[Usage]]:
        """Return vectors (texts, width), and what was read for each text, as if it had been asked alone."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new and self._encoder is not None:
            encoded = self._encoder.encode(new)
            self._known |= dict(zip(new, zip(encoded.vectors, encoded.tokens, strict=True), strict=True))
        known = [self._known[text] for text in texts]
        fresh = set(new)
        used = []
        for text, (_, tokens) in zip(texts, known, strict=True):
            used.append(Usage(tokens_in=tokens, tokens_cached=0 if text in fresh else tokens, tokens_out=0))
            fresh.discard(text)
        return np.stack([vector for vector, _ in known]), used


class LearnedEngine:
    """Another engine with what was learned about its answers: heads choose for it, curves say how sure to be."""

    def __init__(self, engine: Engine, lesson: Lesson, *, name: str) -> None:
        """Take both; raises ModelError where the lesson is about another model."""
        lesson.about.refuse_other_model(engine.model, name=name)
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
        if one.way == "balance":
            return ask_for_shares(ask)
        if one.way != "head":
            return ask
        return dataclasses.replace(ask, half=True) if one.half else ask_for_head(ask)

    def _better(self, one: LearnedStep, given: Sequence[Given], texts: Sequence[str]) -> list[Given]:
        head = self._lesson.choosers.get(one.step)
        if isinstance(head, Head | Both):
            shown = [answered.halfway if one.half else answered.hidden for answered in given]
            usable = [number for number, states in enumerate(shown) if states is not None]
            better = list(given)
            if usable:
                read = [given[number] for number in usable]
                states, shares = halves_of(read) if one.half else states_of(read, one.options)
                seen = head.see(states, shares, [texts[number] for number in usable])
                for number, chosen in zip(usable, _answers(one, seen), strict=True):
                    old = given[number]
                    better[number] = dataclasses.replace(
                        chosen, usage=old.usage, call_no=old.call_no, truncated=old.truncated
                    )
            return better
        if isinstance(head, Balance):
            return _balanced(one, head, given)
        if one.curve is None:
            return list(given)
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
    if isinstance(form, Choice) and len(form.options) <= SHARES_UP_TO:
        ask = ask_for_shares(ask)
    return dataclasses.replace(ask, hidden=True)


def ask_for_shares(ask: Ask) -> Ask:
    """Return an ask whose answer holds the chance of every label."""
    form = ask.question.form
    if not isinstance(form, Choice) or form.full:
        return ask
    return dataclasses.replace(
        ask, question=dataclasses.replace(ask.question, form=dataclasses.replace(form, full=True))
    )


def states_of(given: Sequence[Given], options: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return hidden states (answers, width) and shares (answers, options or 0).

    Behind the last states stand those halfway up, twice as many numbers, where all answers have them.
    """
    states = np.stack([answered.hidden for answered in given if answered.hidden is not None])
    halfway = [answered.halfway for answered in given if answered.halfway is not None]
    if len(halfway) == len(states):
        states = np.column_stack([states, np.stack(halfway)])
    with_shares = len(options) <= SHARES_UP_TO
    rows = [
        [answered.shares[option] for option in options] if with_shares and answered.shares is not None else []
        for answered in given
    ]
    return states, np.array(rows, dtype=np.float64).reshape(len(given), -1)


def halves_of(given: Sequence[Given]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the same of answers that were read halfway up only: their states (answers, 2 * width), and no shares."""
    states = np.stack([answered.halfway for answered in given if answered.halfway is not None])
    return states, np.zeros((len(states), 0))


def last_of(given: Sequence[Given]) -> int | None:
    """Return how many of the states' columns are those of the last state; None without any answer."""
    return next((len(answered.hidden) for answered in given if answered.hidden is not None), None)


def _by_step(asks: Sequence[Ask]) -> Mapping[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, ask in enumerate(asks):
        places.setdefault(ask.question.step, []).append(place)
    return places


def _balanced(one: LearnedStep, balance: Balance, given: Sequence[Given]) -> list[Given]:
    """Return a model's own answers without its liking for some labels; those whose chances it did not tell stay."""
    better = list(given)
    for number, answered in enumerate(given):
        if answered.shares is not None and isinstance(answered.answer, Label):
            own = np.array([[answered.shares[option] for option in one.options]])
            shares = balance(own)[0]
            best = int(shares.argmax())
            better[number] = dataclasses.replace(
                answered,
                answer=Label(one.options[best]),
                raw_score=RawScore(min(1.0, float(shares[best]))),
                shares={option: float(share) for option, share in zip(one.options, shares, strict=True)},
            )
    return better


def _answers(one: LearnedStep, seen: Seen) -> list[Given]:
    best = seen.shares.argmax(axis=1)
    if one.curve is None:
        raise ModelError(f"step {one.step} was learned without how sure to be: headrace learn JOB")
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
