"""Samples: read with clear errors, asked step by step, and compared by what answers say."""

import json

import pytest

from pipeline.adapters.instant import InstantEngine
from pipeline.asking import asked_apart
from pipeline.domain.answers import Answer, Defect, Fields, Label, Level, Malformed, Usage
from pipeline.domain.errors import ConfigError
from pipeline.domain.items import Item
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import MultilabelStep, SentimentStep
from pipeline.flow.samples import (
    Sample,
    SampleStep,
    accuracy,
    agreement,
    agrees,
    ask_sample,
    field_accuracy,
    gold_sample,
    is_right,
    labelled_sample,
)
from pipeline.flow.scoring import GoldLine

MOOD = asked_apart(SentimentStep(name="mood", kind="sentiment"))
TAGS = asked_apart(MultilabelStep(name="tags", kind="multilabel", labels={"bug": "", "praise": ""}))


def lines(*rows: object) -> list[str]:
    return [row if isinstance(row, str) else json.dumps(row) for row in rows]


def given(answer: Answer | Malformed, score: float = 0.9) -> Given:
    return Given(answer=answer, raw_score=RawScore(score), usage=Usage(tokens_in=1), call_no=0)


def test_a_labelled_sample_asks_which_of_its_labels_fits() -> None:
    sample = labelled_sample("mine", lines({"text": "a", "label": "x"}, "", {"text": "b", "label": "y"}))
    (step,) = sample.steps
    assert (step.texts, step.gold, sample.size) == (["a", "b"], ["x", "y"], 2)
    assert "- x\n- y" in step.asking.questions[0].system


def test_a_sample_without_labels_asks_for_the_mood_and_has_no_gold() -> None:
    (step,) = labelled_sample("mine", lines({"text": "a"}, {"text": "b", "label": None})).steps
    assert (step.name, step.gold) == ("mood", None)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["{"], "sample mine, line 1: this is no JSON;"),
        (["[" * 100_000], "sample mine, line 1: this is nested too deeply"),
        ([{"text": "a"}, [1]], "line 2: this is no JSON object"),
        ([{"text": "a"}, {"label": "x"}], "line 2: `text` must be there"),
        ([{"text": " "}], "line 1: `text` must be there"),
        ([{"text": "a", "label": 3}], "line 1: `label` must be a string"),
        ([{"text": "a", "label": " x"}], "line 1: `label` must be a string"),
        ([{"text": "a", "label": "x"}, "", {"text": "b"}], "line 3: give every line a `label`, or none"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "x"}], "1 different labels"),
        ([""], "empty"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(rows: list[object], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("{", "\\{")):
        labelled_sample("mine", lines(*rows))


def test_gold_chooses_the_items_of_each_step() -> None:
    items = [Item(key=key, source="s", line=1, text=f"text {key}") for key in "abc"]
    gold = [GoldLine(key="a", answers={"mood": "neutral", "tags": []}, group="all")]
    gold.append(GoldLine(key="c", answers={"mood": "positive"}, group="all"))
    mood, tags = gold_sample("s", {"mood": MOOD, "tags": TAGS}, items, gold).steps
    assert (mood.texts, mood.gold) == (["text a", "text c"], ["neutral", "positive"])
    assert (tags.texts, tags.gold) == (["text a"], [[]])
    (alone,) = gold_sample("s", {"mood": MOOD}, items, None).steps
    assert (len(alone.texts), alone.gold) == (3, None)


def test_gold_that_fits_no_item_and_a_key_that_comes_twice_are_refused() -> None:
    items = [Item(key="a", source="s", line=1, text="t")]
    other = GoldLine(key="z", answers={"mood": "neutral"}, group="all")
    with pytest.raises(ConfigError, match="no item whose key"):
        gold_sample("s", {"mood": MOOD}, items, [other])
    with pytest.raises(ConfigError, match="twice"):
        gold_sample("s", {"mood": MOOD}, items, [other, other])


def test_a_sample_is_asked_step_by_step_and_every_text_gets_one_answer() -> None:
    texts = [f"text {number}" for number in range(70)]
    steps = [
        SampleStep(name=name, asking=asking, texts=texts, gold=None)
        for name, asking in (("mood", MOOD), ("tags", TAGS))
    ]
    shown: list[tuple[int, int]] = []
    found = ask_sample(InstantEngine(model="m"), Sample(name="s", steps=steps), lambda *how_far: shown.append(how_far))
    assert [len(found[name]) for name in ("mood", "tags")] == [70, 70]
    assert shown[-1] == (140, 140)


def test_answers_agree_by_what_they_say() -> None:
    assert agrees(given(Level("low", 1.2)), given(Level("low", 1.9), 0.4))
    assert not agrees(given(Label("a")), given(Label("b")))
    cut = given(Malformed(defect=Defect.CUT_OFF, detail=""))
    assert agrees(cut, given(Malformed(defect=Defect.TOO_LONG, detail="")))
    assert not is_right(cut, None)
    assert agreement([given(Label("a"))] * 2, [given(Label("a")), given(Label("b"))]) == 0.5


def test_a_record_is_right_as_a_whole_and_field_by_field() -> None:
    said = [given(Fields({"order": "A-1", "amount": 3.0})), given(Malformed(defect=Defect.CUT_OFF, detail=""))]
    gold = [{"order": "A-1", "amount": 4}, {"order": None, "amount": None}]
    assert accuracy(said, gold) == 0.0
    assert field_accuracy(said, gold) == {"order": 0.5, "amount": 0.0}
    assert (accuracy(said, None), field_accuracy(said, None)) == (None, {})
