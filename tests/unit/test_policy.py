"""Deciding: exactly one outcome for every answer, upward only."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.answers import Answer, Defect, Label, Malformed, Usage
from pipeline.domain.calibration import uncalibrated
from pipeline.domain.checks import EntryPoint
from pipeline.domain.job import Job
from pipeline.domain.outcomes import Escalation, Given, Outcome, Unresolved, Verdict
from pipeline.domain.policy import believe, decide, policy_of
from pipeline.domain.scores import Confidence, RawScore

TIER = {"engine": "instant", "model": "m"}


def job(*, small: Mapping[str, object] | None = None, large: Mapping[str, object] | None = None, **step: object) -> Job:
    first = {"name": "small", **TIER, "accept_at": 0.8, **(small or {})}
    last = {"name": "large", **TIER, **(large or {})}
    asked = {"name": "topic", "kind": "classify", "labels": ["a", "b"], **step}
    return Job.model_validate({"name": "j", "steps": [asked], "tiers": [first, last]})


def outcome(
    made: Job,
    tier_no: int,
    answer: Answer | Malformed,
    score: float | None,
    points: Mapping[str, EntryPoint] | None = None,
) -> Outcome:
    given_ = Given(
        answer=answer, raw_score=None if score is None else RawScore(score), usage=Usage(tokens_in=1), call_no=0
    )
    confidence, _ = believe(given_, uncalibrated)
    return decide(made, policy_of(made), (0, tier_no), given_, confidence, text="text a", entry_points=points or {})


def malformed(defect: Defect) -> Malformed:
    return Malformed(defect=defect, detail="why")


@given(score=st.one_of(st.none(), st.floats(0, 1)), tier_no=st.integers(0, 1), bad=st.sampled_from([None, *Defect]))
def test_every_answer_has_one_outcome_and_an_escalation_goes_up(
    score: float | None, tier_no: int, bad: Defect | None
) -> None:
    made = job()
    answer = Label("a") if bad is None else malformed(bad)
    found = outcome(made, tier_no, answer, score)
    if isinstance(found, Escalation):
        assert tier_no < found.to_tier < len(made.tiers)
    if isinstance(found, Verdict):
        assert bad is None
    if isinstance(found, Unresolved):
        assert tier_no == 1


@given(score=st.floats(0, 1))
def test_the_threshold_itself_is_enough(score: float) -> None:
    assert isinstance(outcome(job(), 0, Label("a"), score), Verdict) == (score >= 0.8)


def test_the_last_tier_accepts_any_well_formed_answer_unless_the_job_sets_a_threshold() -> None:
    assert outcome(job(), 1, Label("a"), 0.01) == Verdict()
    assert outcome(job(), 1, Label("a"), None) == Verdict()
    assert outcome(job(large={"accept_at": 0.5}), 1, Label("a"), 0.01) == Unresolved("low_confidence")


@pytest.mark.parametrize("defect", list(Defect))
def test_a_defect_goes_up_and_is_unresolved_at_the_top(defect: Defect) -> None:
    assert outcome(job(), 0, malformed(defect), None) == Escalation(1, defect)
    assert outcome(job(), 1, malformed(defect), None) == Unresolved(defect)


def test_a_long_text_ends_where_the_tier_rejects_it() -> None:
    rejecting = job(small={"on_long": "reject"})
    assert outcome(rejecting, 0, malformed(Defect.TOO_LONG), None) == Unresolved("too_long")
    assert outcome(rejecting, 0, malformed(Defect.MALFORMED), None) == Escalation(1, "malformed")


def test_an_unknown_confidence_does_what_the_job_says() -> None:
    assert outcome(job(), 0, Label("a"), None) == Escalation(1, "unknown_confidence")
    assert outcome(job(small={"on_unknown_confidence": "accept"}), 0, Label("a"), None) == Verdict()


def test_a_failed_check_goes_up_with_its_name_however_sure_the_model_was() -> None:
    checked = job(checks=[{"kind": "occurs"}])
    assert outcome(checked, 0, Label("a"), 1.0) == Verdict()
    assert outcome(checked, 0, Label("b"), 1.0) == Escalation(1, "check_failed:occurs")
    assert outcome(checked, 1, Label("b"), 1.0) == Unresolved("check_failed:occurs")


def test_a_users_own_check_that_raises_does_not_hold() -> None:
    own = job(checks=[{"kind": "python", "entry_point": "mine:check"}])

    def raising(value: object, text: str) -> bool:
        raise RuntimeError(f"{value}{text}")

    assert outcome(own, 0, Label("a"), 1.0, {"mine:check": raising}) == Escalation(1, "check_failed:python")
    assert (
        outcome(own, 0, Label("a"), 1.0, {"mine:check": lambda value, text: value == "a" and "a" in text}) == Verdict()
    )


def test_raw_scores_and_confidences_are_different_types_and_probabilities() -> None:
    assert uncalibrated(RawScore(0.5)) == Confidence(0.5, calibrated=False)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="must lie in"):
            RawScore(wrong)
        with pytest.raises(ValueError, match="must lie in"):
            Confidence(wrong, calibrated=True)


def test_a_step_skips_tiers_that_are_not_on_its_ladder() -> None:
    three = Job.model_validate(
        {
            "name": "j",
            "steps": [{"name": "s", "kind": "sentiment", "ladder": ["one", "three"]}],
            "tiers": [{"name": name, **TIER} for name in ("one", "two", "three")],
        }
    )
    assert outcome(three, 0, Label("neutral"), 0.1) == Escalation(2, "low_confidence")
