"""A model without its liking for some labels: learned from texts whose answers nobody knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.adapters.learned.balance import Balance
from pipeline.adapters.learned.engine import LearnedEngine
from pipeline.adapters.learned.files import LearnedFiles, Lesson
from pipeline.domain.answers import Defect, Label, Malformed, Usage
from pipeline.domain.curves import Floats
from pipeline.domain.errors import ModelError
from pipeline.domain.learned import Learned, LearnedStep
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import Choice, ClassifyStep
from pipeline.ports.engine import Ask, Reply
from pipeline.prompts import question_of

LABELS = ("billing", "technical", "account")
TOPIC = question_of(ClassifyStep(name="topic", kind="classify", labels=dict.fromkeys(LABELS, "")))
SHARES = arrays(np.float64, (7, 3), elements=st.floats(1e-4, 1.0)).map(lambda raw: raw / raw.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Fond:
    """A model that likes `billing`; a text of two numbers says what it gives to the others."""

    told: bool = True
    model: str = "fond@1"

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer with all chances where they are wanted; a text of no numbers is too long for it."""
        return Reply(given=tuple(map(self._given, asks)), calls=())

    def close(self) -> None:
        """Nothing to give back."""

    def _given(self, ask: Ask) -> Given:
        usage = Usage(tokens_in=9, tokens_cached=4, tokens_out=0)
        if not ask.text:
            long = Malformed(defect=Defect.TOO_LONG, detail="too long")
            return Given(answer=long, raw_score=None, usage=usage, call_no=0)
        technical, account = map(float, ask.text.split())
        shares = dict(zip(LABELS, (1.0 - technical - account, technical, account), strict=True))
        best = max(shares, key=lambda label: shares[label])
        form = ask.question.form
        wanted = self.told and isinstance(form, Choice) and form.full
        return Given(
            answer=Label(best),
            raw_score=RawScore(shares[best]),
            shares=shares if wanted else None,
            usage=usage,
            call_no=0,
            truncated=True,
        )


def lesson(balance: Balance, *, asked: str = TOPIC.digest) -> Lesson:
    step = LearnedStep(
        step="topic", way="balance", asked=asked, options=LABELS, knows_none=False, curve=None, figures=None
    )
    return Lesson(about=Learned(model="fond@1", steps=(step,)), choosers={"topic": balance})


def fond_of_billing() -> Balance:
    return Balance.fit(np.array([[0.7, 0.2, 0.1], [0.9, 0.05, 0.05]]))


def test_half_of_what_every_label_gets_is_taken_from_it() -> None:
    balance = Balance.fit(np.array([[0.64, 0.36], [0.64, 0.36]]))
    assert balance(np.array([[0.5, 0.5]]))[0] == pytest.approx([0.6 / 1.4, 0.8 / 1.4]), "divided by .8 and by .6"


@given(SHARES)
def test_chances_stay_chances_and_a_label_that_is_liked_most_gains_on_none(shares: Floats) -> None:
    balance = Balance.fit(shares)
    better = balance(shares)
    assert better.sum(axis=1) == pytest.approx(np.ones(7))
    liked = int(shares.mean(axis=0).argmax())
    for other in range(3):
        before, after = (each[:, liked] / each[:, other] for each in (shares, better))
        assert (after <= before * (1 + 1e-5)).all()


@given(SHARES)
def test_a_model_that_likes_all_labels_alike_is_left_as_it_is(shares: Floats) -> None:
    even = np.concatenate([shares, np.roll(shares, 1, axis=1), np.roll(shares, 2, axis=1)])
    assert Balance.fit(even)(even) == pytest.approx(even, abs=1e-5)


def test_no_texts_teach_nothing() -> None:
    with pytest.raises(ValueError, match="no texts"):
        Balance.fit(np.zeros((0, 3)))


def test_an_answer_that_only_liking_gave_turns_and_keeps_what_was_read() -> None:
    engine = LearnedEngine(Fond(), lesson(fond_of_billing()), name="m")
    turned, kept = (
        one
        for one in engine.answer([Ask(question=TOPIC, text="0.4 0.1"), Ask(question=TOPIC, text="0.1 0.05")]).given
        if one is not None
    )
    assert (turned.answer, kept.answer) == (Label("technical"), Label("billing"))
    assert turned.raw_score is not None
    assert turned.shares is not None
    assert turned.raw_score.value == max(turned.shares.values())
    assert turned.confidence is None, "nobody knows how often it is right"
    assert (turned.usage.tokens_cached, turned.truncated) == (4, True)


def test_answers_without_labels_or_without_chances_stay_as_they_are() -> None:
    (long,) = LearnedEngine(Fond(), lesson(fond_of_billing()), name="m").answer([Ask(question=TOPIC, text="")]).given
    assert long is not None
    assert isinstance(long.answer, Malformed)
    silent = LearnedEngine(Fond(told=False), lesson(fond_of_billing()), name="m")
    (one,) = silent.answer([Ask(question=TOPIC, text="0.4 0.1")]).given
    assert one is not None
    assert one.answer == Label("billing")


def test_a_question_in_other_words_is_refused() -> None:
    engine = LearnedEngine(Fond(), lesson(fond_of_billing(), asked="0" * 64), name="m")
    with pytest.raises(ModelError, match="learned step topic in other words"):
        engine.answer([Ask(question=TOPIC, text="0.4 0.1")])


def test_it_outlives_being_written_and_read(tmp_path: Path) -> None:
    files = LearnedFiles(tmp_path)
    before = lesson(fond_of_billing())
    after = files.load(files.keep("m", before))
    assert after.about == before.about
    balance = after.choosers["topic"]
    assert isinstance(balance, Balance)
    assert balance.shift.tolist() == fond_of_billing().shift.tolist()


@pytest.mark.parametrize("shift", [[0.1, 0.2], [0.1, 0.2, float("nan")], [[0.1, 0.2, 0.3]]])
def test_a_file_that_lies_about_its_labels_is_refused(tmp_path: Path, shift: list[float]) -> None:
    files = LearnedFiles(tmp_path)
    pinned = files.keep("m", lesson(Balance(shift=np.array(shift, dtype=np.float32))))
    with pytest.raises(ModelError, match="none of this release's files"):
        files.load(pinned)
