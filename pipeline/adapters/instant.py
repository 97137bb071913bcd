"""InstantEngine: answers without any model, always the same. For load tests and for trying out a deployment."""

import math
import os
import signal
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from time import perf_counter
from uuid import uuid4

from pipeline.domain.answers import Answer, Fields, Label, Usage
from pipeline.domain.errors import ConfigError
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import Choice
from pipeline.ports.engine import Ask, Reply
from pipeline.prompts import Question

_CHARS_PER_TOKEN = 4
# Far above what a model takes for a chunk, far below a lease that its holder still renews.
_LONGEST_WAIT_S = 60.0


class InstantEngine:
    """Gives the first option (or the last), or a record of nulls, with a score that its model name states."""

    def __init__(self, *, model: str) -> None:
        """Read score and wait from a model name such as `score=0.99 wait_s=0.05`.

        `score=unknown` gives no score, a name without one 1.0. `wait_s` is how long each call takes, as a model would:
        with it a run lasts long enough to be watched, or stopped on its way. `answer=last` gives the last option, to
        see what becomes of tiers that do not agree. `dies_of=WORD` kills the process where a text has this word, as
        running out of memory would, and `hangs_at=WORD` never answers, to see what becomes of the chunk.
        """
        self._model = model
        said = dict(word.split("=", 1) for word in model.split() if "=" in word)
        self._score = _score_in(said)
        self._wait_s = _wait_in(said)
        self._place = _place_in(said)
        self._deadly, self._endless = said.get("dies_of"), said.get("hangs_at")

    def __repr__(self) -> str:
        """Name the model."""
        return f"InstantEngine(model={self._model!r})"

    @property
    def model(self) -> str:
        """The name it was given."""
        return self._model

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer all asks as one call."""
        if not asks:
            return Reply(given=(), calls=())
        if self._deadly is not None and any(self._deadly in ask.text.split() for ask in asks):
            os.kill(os.getpid(), signal.SIGKILL)
        while self._endless is not None and any(self._endless in ask.text.split() for ask in asks):
            time.sleep(_LONGEST_WAIT_S)
        started = perf_counter()
        if self._wait_s:
            time.sleep(self._wait_s)
        given = [self._given(ask) for ask in asks]
        call = Call(
            id=uuid4(),
            model=self._model,
            tokens_in=sum(one.usage.tokens_in or 0 for one in given),
            tokens_cached=0,
            tokens_out=sum(one.usage.tokens_out or 0 for one in given),
            seconds=perf_counter() - started,
        )
        return Reply(given=tuple(given), calls=(call,))

    def close(self) -> None:
        """Nothing to give back."""

    def _given(self, ask: Ask) -> Given:
        answer, frame_tokens, tokens_out = _always(ask.question, self._place)
        usage = Usage(
            tokens_in=frame_tokens + len(ask.text) // _CHARS_PER_TOKEN, tokens_cached=0, tokens_out=tokens_out
        )
        scores = {}
        if self._score is not None and isinstance(answer, Fields):
            scores = dict.fromkeys(answer.value, self._score)
        return Given(answer=answer, raw_score=self._score, field_scores=scores, usage=usage, call_no=0)


def _score_in(said: Mapping[str, str]) -> RawScore | None:
    score = said.get("score", "1")
    if score == "unknown":
        return None
    number = _number(score)
    if not 0.0 <= number <= 1.0:
        msg = "engine instant: model must be score=NUMBER with a number from 0 to 1, or score=unknown"
        raise ConfigError(msg)
    return RawScore(number)


def _wait_in(said: Mapping[str, str]) -> float:
    wait_s = _number(said.get("wait_s", "0"))
    if not 0.0 <= wait_s <= _LONGEST_WAIT_S:
        msg = f"engine instant: wait_s=SECONDS in the model must be a number from 0 to {_LONGEST_WAIT_S:.0f}"
        raise ConfigError(msg)
    return wait_s


def _place_in(said: Mapping[str, str]) -> int:
    places = {"first": 0, "last": -1}
    place = places.get(said.get("answer", "first"))
    if place is None:
        msg = f"engine instant: answer=WHICH in the model must be one of {', '.join(places)}"
        raise ConfigError(msg)
    return place


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@lru_cache(maxsize=256)
def _always(question: Question, place: int) -> tuple[Answer, int, int]:
    """Return the answer to any text, and how many tokens frame and answer would have."""
    frame_chars = len(question.system) + len(question.before) + len(question.after)
    if isinstance(question.form, Choice):
        label = question.form.options[place]
        return Label(label), frame_chars // _CHARS_PER_TOKEN, 1 + len(label) // _CHARS_PER_TOKEN
    nulls: dict[str, None] = dict.fromkeys(question.form.as_dict())
    chars = sum(len(name) + len('"": null, ') for name in nulls)
    return Fields(nulls), frame_chars // _CHARS_PER_TOKEN, chars // _CHARS_PER_TOKEN
