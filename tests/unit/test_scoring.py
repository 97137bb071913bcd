"""Accuracy is the share of accepted answers that equal the gold ones, counted once for each gold line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.answers import Plain
from pipeline.domain.errors import ConfigError
from pipeline.domain.runs import ResultLine, StepResult
from pipeline.flow.scoring import GoldLine, Tally, gold_lines, same, score


def result(value: Plain, *, tier: str | None = "small", state: str = "verdict") -> StepResult:
    return StepResult(
        state=state,
        value=value,
        fields={},
        confidence=0.9,
        calibrated=False,
        tier=tier,
        escalated_from=(),
        reason=None,
    )


def line(key: str, **answers: StepResult) -> ResultLine:
    return ResultLine(key=key, source="tickets.csv", line=2, answers=answers)


def gold(key: str, group: str = "easy", **answers: Any) -> GoldLine:  # noqa: ANN401 — anything that JSON can hold
    return GoldLine(key=key, answers=answers, group=group)


def test_a_verdict_equal_to_the_gold_answer_is_right_and_any_other_is_wrong() -> None:
    found = score(
        [gold("1", mood="positive"), gold("2", mood="positive"), gold("3", "hard", mood="negative")],
        [
            line("1", mood=result("positive")),
            line("2", mood=result("neutral", tier="large")),
            line("3", mood=result("negative", tier="large")),
        ],
        ["mood"],
    ).steps["mood"]
    assert found.total == Tally(right=2, of=3)
    assert found.by_group == {"easy": Tally(right=1, of=2), "hard": Tally(right=1, of=1)}
    assert found.by_tier == {"small": Tally(right=1, of=1), "large": Tally(right=1, of=2)}
    assert found.commonest == Tally(right=2, of=3)


def test_the_best_answer_of_an_unresolved_step_does_not_count() -> None:
    found = score([gold("1", mood="positive")], [line("1", mood=result("positive", state="unresolved"))], ["mood"])
    assert found.steps["mood"].total == Tally(right=0, of=1)
    assert found.steps["mood"].by_tier == {}


def test_a_gold_line_without_a_result_is_wrong_and_is_told_of() -> None:
    found = score(
        [gold("1", mood="positive"), gold("2", mood="positive")], [line("1", mood=result("positive"))], ["mood"]
    )
    assert (found.items, found.missing) == (2, 1)
    assert found.steps["mood"].total == Tally(right=1, of=2)


def test_results_without_gold_and_second_results_of_a_key_are_passed_over() -> None:
    lines = [line("9", mood=result("positive")), line("1", mood=result("positive")), line("1", mood=result("neutral"))]
    found = score([gold("1", mood="positive")], lines, ["mood"])
    assert found.steps["mood"].total == Tally(right=1, of=1)


def test_a_record_is_right_only_as_a_whole_and_each_field_is_scored_by_itself() -> None:
    wanted = {"order_id": "KL-20418", "amount": 58, "due": None}
    found = score(
        [gold("1", details=wanted), gold("2", details=wanted)],
        [
            line("1", details=result({"order_id": "KL-20418", "amount": 58.0, "due": None})),
            line("2", details=result({"order_id": "KL-20418", "amount": 59.0, "due": "2026-01-02"})),
        ],
        ["details"],
    ).steps["details"]
    assert found.total == Tally(right=1, of=2)
    assert {name: field.total.right for name, field in found.fields.items()} == {"order_id": 2, "amount": 1, "due": 1}


def test_a_record_without_an_answer_has_no_right_field_not_even_an_empty_one() -> None:
    found = score(
        [gold("1", details={"due": None})], [line("1", details=result(None, state="unresolved"))], ["details"]
    )
    assert found.steps["details"].fields["due"].total == Tally(right=0, of=1)


def test_a_step_without_gold_answers_has_no_accuracy_rather_than_none_right() -> None:
    found = score([gold("1", mood="positive")], [line("1", mood=result("positive"))], ["category"])
    assert found.steps["category"].total.share is None
    assert found.as_json()["steps"]["category"]["accuracy"] is None


def test_two_gold_lines_with_one_key_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 stands there twice"):
        score([gold("1"), gold("1")], [], [])


@pytest.mark.parametrize("text", ["no json", "[1]", '{"mood": "neutral"}', "7", "", "[" * 100_000])
def test_a_gold_line_that_cannot_be_read_is_named_by_its_number_and_not_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match="line 2") as caught:
        list(gold_lines(['{"key": "1", "mood": "neutral"}', text]))
    assert not text or text not in str(caught.value)


def test_gold_lines_keep_the_difficulty_apart_from_the_answers() -> None:
    (found,) = gold_lines(['{"key": "1", "mood": "neutral", "difficulty": "hard"}\n'])
    assert found == GoldLine(key="1", answers={"mood": "neutral"}, group="hard")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (58, 58.0, True),
        (0.1 + 0.2, 0.3, True),
        (58, 59, False),
        (True, 1, False),
        (True, True, True),
        (None, None, True),
        (None, "", False),
        ("KL-1", "kl-1", False),
        (("a", "b"), ["a", "b"], True),
        (("a", "b"), ["b", "a"], False),
        ({"a": None}, {}, True),
        ({"a": 1}, {}, False),
        ("58", 58, False),
    ],
)
def test_answers_are_compared_by_value(one: object, other: object, expected: bool) -> None:  # noqa: FBT001 — a case's column
    assert same(one, other) is expected
    assert same(other, one) is expected


@given(st.lists(st.sampled_from(["negative", "neutral", "positive"]), max_size=30), st.data())
def test_right_answers_add_up_over_groups_and_over_tiers(moods: list[str], data: st.DataObject) -> None:
    given_moods = [data.draw(st.sampled_from(["negative", "neutral", "positive"])) for _ in moods]
    tiers = [data.draw(st.sampled_from(["small", "large"])) for _ in moods]
    groups = [data.draw(st.sampled_from(["easy", "hard"])) for _ in moods]
    found = score(
        [gold(str(n), groups[n], mood=mood) for n, mood in enumerate(moods)],
        [line(str(n), mood=result(mood, tier=tiers[n])) for n, mood in enumerate(given_moods)],
        ["mood"],
    ).steps["mood"]
    assert found.total.right == sum(a == b for a, b in zip(moods, given_moods, strict=True))
    for parts in (found.by_group, found.by_tier):
        assert sum(tally.right for tally in parts.values()) == found.total.right
        assert sum(tally.of for tally in parts.values()) == found.total.of == len(moods)


def test_accuracy_is_written_as_json_that_scripts_can_read() -> None:
    found = score([gold("1", mood="positive")], [line("1", mood=result("positive"))], ["mood"]).as_json()
    assert json.loads(json.dumps(found)) == {
        "items": 1,
        "missing": 0,
        "steps": {
            "mood": {
                "right": 1,
                "of": 1,
                "accuracy": 1.0,
                "commonest_answer": 1.0,
                "by_difficulty": {"easy": 1.0},
                "by_tier": {"small": 1.0},
                "fields": {},
            }
        },
    }
