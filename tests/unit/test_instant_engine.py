"""The engine without a model says what its name tells it to."""

from itertools import pairwise
from time import perf_counter

import pytest

from pipeline.adapters.instant import InstantEngine
from pipeline.domain.answers import Label
from pipeline.domain.errors import ConfigError
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import SentimentStep
from pipeline.ports.engine import Ask
from pipeline.prompts import question_of

MOOD = question_of(SentimentStep(name="mood", kind="sentiment"))


@pytest.mark.parametrize(
    ("model", "score"),
    [
        ("instant", RawScore(1.0)),
        ("score=0.99", RawScore(0.99)),
        ("score=0", RawScore(0.0)),
        ("score=unknown", None),
        ("score=0.5 wait_s=0", RawScore(0.5)),
        ("wait_s=0 score=unknown", None),
        ("wait_s=0", RawScore(1.0)),
    ],
)
def test_the_score_is_what_the_model_name_states(model: str, score: RawScore | None) -> None:
    (given,) = InstantEngine(model=model).answer([Ask(question=MOOD, text="x")]).given
    assert given is not None
    assert given.raw_score == score


@pytest.mark.parametrize("model", ["score=", "score=2", "score=-1", "score=nan", "score=high"])
def test_a_score_that_is_no_probability_is_refused_at_start(model: str) -> None:
    with pytest.raises(ConfigError, match="score=NUMBER"):
        InstantEngine(model=model)


@pytest.mark.parametrize("model", ["wait_s=", "wait_s=-1", "wait_s=nan", "score=1 wait_s=61", "wait_s=long"])
def test_a_wait_that_is_no_time_is_refused_at_start(model: str) -> None:
    with pytest.raises(ConfigError, match="wait_s=SECONDS"):
        InstantEngine(model=model)


def test_the_last_option_is_given_where_the_model_name_says_so() -> None:
    for model, label in (("score=1", "negative"), ("score=1 answer=last", "positive")):
        (given,) = InstantEngine(model=model).answer([Ask(question=MOOD, text="x")]).given
        assert given is not None
        assert given.answer == Label(label)
    with pytest.raises(ConfigError, match="answer=WHICH"):
        InstantEngine(model="answer=best")


def test_a_call_takes_at_least_as_long_as_the_model_name_says_and_is_booked_so() -> None:
    engine = InstantEngine(model="score=1 wait_s=0.05")
    started = perf_counter()
    reply = engine.answer([Ask(question=MOOD, text="x")] * 3)
    assert perf_counter() - started >= 0.05
    (call,) = reply.calls
    assert call.seconds >= 0.05


def test_one_call_holds_the_tokens_of_all_its_answers() -> None:
    reply = InstantEngine(model="instant").answer([Ask(question=MOOD, text="x" * 40 * n) for n in range(5)])
    (call,) = reply.calls
    assert call.tokens_in == sum(given.usage.tokens_in or 0 for given in reply.given if given is not None)
    usages = [given.usage.tokens_in or 0 for given in reply.given if given is not None]
    assert [later - earlier for earlier, later in pairwise(usages)] == [10] * 4
