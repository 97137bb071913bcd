"""How steps become questions and answers become a step's one: fused readings, multilabel, levels, label orders."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.asking import Asking, askings, prompt_digests
from pipeline.domain.answers import Answer, Defect, Fields, Label, Labels, Level, Malformed, Usage, from_json, to_json
from pipeline.domain.job import Job
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import Choice, Record

TAGS = {"name": "tags", "kind": "multilabel", "labels": {"bug": "something is broken", "praise": "", "ask": ""}}
MOOD = {"name": "mood", "kind": "sentiment"}
URGENCY = {"name": "urgency", "kind": "score", "levels": ["low", "middle", "high"]}
REFUND = {"name": "refund", "kind": "yes_no", "question": "Does the customer want money back?"}


def job(*steps: dict[str, Any], engine: str = "llama", **tier: Any) -> Job:  # noqa: ANN401 — as a job file gives them
    return Job.model_validate(
        {"name": "j", "steps": list(steps), "tiers": [{"name": "t", "engine": engine, "model": "m", **tier}]}
    )


def asked(*steps: dict[str, Any], **tier: Any) -> list[Asking]:  # noqa: ANN401 — see `job`
    return list(askings(job(*steps, **tier), 0).values())


def given(answer: Answer | Malformed, score: float | None = 0.9, **shares: float) -> Given:
    return Given(
        answer=answer,
        raw_score=None if score is None else RawScore(score),
        shares=shares or None,
        usage=Usage(tokens_in=10, tokens_cached=4, tokens_out=1),
        call_no=0,
    )


def test_a_multilabel_step_is_a_yes_or_no_for_each_label_in_one_reading() -> None:
    (asking,) = asked(TAGS)
    assert [one.form for one in asking.questions] == [Choice(("yes", "no"))] * 3
    assert len({(one.system, one.shots, one.before) for one in asking.questions}) == 1
    assert len({one.after for one in asking.questions}) == 3
    assert "something is broken" in asking.questions[0].system


def test_an_endpoint_is_asked_for_all_labels_in_one_object() -> None:
    (asking,) = asked(TAGS, engine="openai")
    (question,) = asking.questions
    assert isinstance(question.form, Record)
    assert list(question.form.as_dict()) == ["bug", "praise", "ask"]
    merged = asking.merge([given(Fields({"bug": True, "praise": False, "ask": None}), 0.7)])
    assert (merged.answer, merged.raw_score) == (Labels(("bug",)), RawScore(0.7))


def test_a_set_of_labels_is_as_sure_as_its_least_sure_label() -> None:
    (asking,) = asked(TAGS)
    merged = asking.merge([given(Label("yes"), 0.9), given(Label("no"), 0.6), given(Label("yes"), 0.8)])
    assert merged.answer == Labels(("bug", "ask"))
    assert merged.raw_score == RawScore(0.6)
    assert merged.usage == Usage(tokens_in=30, tokens_cached=12, tokens_out=3)


def test_one_label_that_was_not_answered_makes_the_set_malformed_and_an_unknown_score_unknown() -> None:
    (asking,) = asked(TAGS)
    bad = Malformed(defect=Defect.TOO_LONG, detail="too long")
    assert asking.merge([given(Label("yes")), given(bad, None), given(Label("no"))]).answer == bad
    assert asking.merge([given(Label("yes")), given(Label("no"), None), given(Label("no"))]).raw_score is None


def test_a_level_comes_with_its_expectation() -> None:
    (asking,) = asked(URGENCY)
    merged = asking.merge([given(Label("high"), 0.5, low=0.25, middle=0.25, high=0.5)])
    assert merged.answer == Level("high", 2.25)
    assert merged.raw_score == RawScore(0.5)
    assert asking.merge([given(Label("low"), 0.5)]).answer == Level("low", None)
    assert from_json(to_json(Level("high", 2.25))) == Level("high", 2.25)
    assert from_json(to_json(Level("high", None))) == Level("high", None)


def test_the_places_of_a_records_values_are_kept_of_a_list_one_for_each() -> None:
    answer = Fields({"due": "2026-03-03", "tags": ("a", "b"), "n": None}, {"due": (3, 9), "tags": ((0, 1), (4, 5))})
    stored = json.loads(json.dumps(to_json(answer)))
    assert stored["spans"] == {"due": [3, 9], "tags": [[0, 1], [4, 5]]}
    read = from_json(stored)
    assert read == answer
    assert isinstance(read, Fields)
    assert read.spans == answer.spans


def test_levels_that_are_numbers_count_as_what_they_say() -> None:
    (asking,) = asked({**URGENCY, "levels": ["0", "10"]})
    assert asking.merge([given(Label("10"), 0.5, **{"0": 0.5, "10": 0.5})]).answer == Level("10", 5.0)


def test_labels_in_several_orders_are_averaged() -> None:
    step = {"name": "topic", "kind": "classify", "labels": ["a", "b", "c", "d"], "orders": 2}
    (asking,) = asked(step)
    first, second = asking.questions
    assert first.system.index("- a") < first.system.index("- c")
    assert second.system.index("- c") < second.system.index("- a")
    merged = asking.merge(
        [given(Label("a"), 0.6, a=0.6, b=0.4, c=0.0, d=0.0), given(Label("b"), 0.8, a=0.1, b=0.8, c=0.1, d=0.0)]
    )
    assert merged.answer == Label("b")
    assert merged.raw_score is not None
    assert merged.raw_score.value == pytest.approx(0.6)


def test_fused_steps_begin_alike_and_say_behind_the_text_which_one_is_asked() -> None:
    steps = (MOOD, REFUND, TAGS)
    apart = asked(*steps, fuse=False)
    together = asked(*steps, fuse=True)
    questions: Sequence[Any] = [one for asking in together for one in asking.questions]
    assert len({(one.system, one.shots, one.before) for one in questions}) == 1
    assert len({one.after for one in questions}) == 5
    for name in ("mood", "refund", "tags"):
        assert name in questions[0].system
    assert len({one.system for asking in apart for one in asking.questions}) == 3


def test_a_step_alone_is_asked_the_same_fused_or_not_and_an_endpoint_is_never_fused() -> None:
    assert asked(MOOD, fuse=True)[0].questions == asked(MOOD, fuse=False)[0].questions
    apart = [one.questions for one in asked(MOOD, REFUND, fuse=False)]
    assert [one.questions for one in asked(MOOD, REFUND, engine="openai", fuse=True)] == apart


def test_digests_name_tier_and_step_and_change_with_what_a_model_sees() -> None:
    apart, together = prompt_digests(job(MOOD, REFUND, fuse=False)), prompt_digests(job(MOOD, REFUND, fuse=True))
    assert list(apart) == list(together) == ["t/mood", "t/refund"]
    assert all(apart[name] != together[name] for name in apart)


@pytest.mark.parametrize(
    "step",
    [
        {"name": "x", "kind": "yes_no"},
        {"name": "x", "kind": "score", "levels": ["one"]},
        {**TAGS, "examples": [{"text": "t", "answer": "bug"}]},
        {**TAGS, "examples": [{"text": "t", "answer": ["unknown"]}]},
        {**MOOD, "examples": [{"text": "t", "answer": ["negative"]}]},
        {"name": "x", "kind": "classify", "labels": ["a", "b"], "orders": 9},
    ],
)
def test_steps_that_cannot_be_asked_are_refused(step: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        job(step)


@pytest.mark.parametrize("names", [("line", "mood"), ("key", "mood"), ("mood", "mood_state"), ("mood", "mood_tier")])
def test_step_names_that_are_columns_of_the_results_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(ValidationError, match="column of the results"):
        job(*({"name": name, "kind": "sentiment"} for name in names))
