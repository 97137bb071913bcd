"""Proof of a format for heads: by what heads learn of its hidden states, and by nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pipeline.adapters.models.store import SHIPPED
from pipeline.asking import asked_apart
from pipeline.domain.answers import Defect, Label, Malformed, Usage
from pipeline.domain.errors import ConfigError
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import ClassifyStep
from pipeline.flow.samples import Sample, SampleStep
from pipeline.ports.engine import Ask, Reply
from pipeline.wiring import head_proof
from pipeline.wiring.formats import Written
from pipeline.wiring.head_proof import head_answers, head_sample
from pipeline.wiring.tuning import holds, prove_heads

STEP = ClassifyStep(name="topic", kind="classify", labels={"billing": "", "technical": ""})
TEXTS = [f"{'invoice' if number % 2 else 'crash'} number {number}" for number in range(80)]
GOLD = ["billing" if number % 2 else "technical" for number in range(80)]


def step(texts: Sequence[str] = TEXTS, gold: Sequence[Any] | None = GOLD, name: str = "topic") -> SampleStep:
    return SampleStep(name=name, asking=asked_apart(STEP), texts=list(texts), gold=None if gold is None else list(gold))


class Reading:
    """An engine whose hidden states say what the text is about, drowned in so much noise; it chooses at random."""

    model = "m"

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def answer(self, asks: Sequence[Ask]) -> Reply:
        return Reply(given=tuple(map(self._given, asks)), calls=())

    def _given(self, ask: Ask) -> Given:
        assert ask.hidden
        chance = np.random.default_rng(len(ask.text) * 1000 + sum(map(ord, ask.text)))
        usage = Usage(tokens_in=1)
        if np.isnan(self.noise):
            damaged = Malformed(defect=Defect.MALFORMED, detail="the model's numbers are none")
            return Given(answer=damaged, raw_score=None, usage=usage, call_no=0)
        about = 1.0 if "invoice" in ask.text else -1.0
        states = (about + self.noise * chance.normal(size=(2, 8))).astype(np.float32)
        label = chance.choice(["billing", "technical"])
        shares = {"billing": 0.5, "technical": 0.5}
        return Given(
            answer=Label(label),
            raw_score=RawScore(0.5),
            shares=shares,
            hidden=states[0],
            halfway=states[1],
            usage=usage,
            call_no=0,
        )

    def close(self) -> None:
        pass


def silent(_title: str, _done: int, _of: int, _note: str) -> None:
    pass


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, Written]:
    """Return a shipped file, one as good, one whose states are noise, and one without numbers."""
    noises = {SHIPPED: 0.5, "f16": 0.6, "q4_0": 500.0, "bf16": float("nan")}
    monkeypatch.setattr(head_proof, "engine_over", lambda one, **_: cast("Any", Reading(noises[one.format])))
    return {name: Written(format=name, path=Path(name)) for name in noises}


def test_a_format_holds_by_what_heads_learn_and_not_by_answers_or_words(written: dict[str, Written]) -> None:
    """The model's own choices are chance and the words say it all: neither counts."""
    sample = head_sample(Sample(name="s", steps=[step()]))
    prove = prove_heads(written[SHIPPED], sample, silent)
    found = {name: prove(written[name]) for name in ("f16", "q4_0", "bf16")}
    assert {name: holds(one) for name, one in found.items()} == {"f16": True, "q4_0": False, "bf16": False}
    assert found["f16"].answers == 80
    assert found["f16"].shipped_accuracy is not None
    assert found["f16"].shipped_accuracy > 0.95
    assert found["bf16"].tuned_accuracy == 0.0, "a file without numbers is an answer, no crash"


def test_shares_of_several_steps_weigh_by_their_texts(written: dict[str, Written]) -> None:
    sample = head_sample(Sample(name="s", steps=[step(), step(TEXTS[:40], GOLD[:40], name="other")]))
    answers, right = head_answers(written[SHIPPED], sample, silent)
    assert {name: len(given) for name, given in answers.items()} == {"topic": 80, "other": 40}
    assert right > 0.95


@pytest.mark.parametrize(
    "known",
    [
        step(gold=None),
        step(TEXTS[:39], GOLD[:39]),
        step(gold=["billing"] * 80),
        step(gold=["billing"] * 76 + ["technical"] * 4),
        step(["the same"] * 80),
        SampleStep(
            name="several",
            asking=asked_apart(STEP.model_copy(update={"orders": 2})),
            texts=TEXTS,
            gold=GOLD,
        ),
    ],
    ids=["no labels", "too few", "one label", "one on hardly any", "copies", "several questions"],
)
def test_a_sample_that_teaches_no_head_is_refused_before_anything_is_written(known: SampleStep) -> None:
    with pytest.raises(ConfigError, match=r"teaches no head: give --sample with 40 or more .* on 5 of them each"):
        head_sample(Sample(name="s", steps=[known]))
