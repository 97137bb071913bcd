"""Decide: an engine's answer and the thresholds in force make an Outcome."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.domain.answers import Defect, Malformed
from pipeline.domain.calibration import Calibrator
from pipeline.domain.checks import EntryPoint, failed_check, invented_field
from pipeline.domain.hostile import is_suspicious
from pipeline.domain.job import Job
from pipeline.domain.outcomes import (
    CHECK_FAILED,
    LOW_CONFIDENCE,
    NOT_IN_TEXT,
    SUSPICIOUS,
    UNKNOWN_CONFIDENCE,
    Escalation,
    Given,
    Held,
    Outcome,
    Unresolved,
    Verdict,
)
from pipeline.domain.scores import Confidence
from pipeline.domain.steps import Choice, ExtractStep, MultilabelStep, Step

FIRST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """Thresholds in force from a moment on. Version 1 is the job's own `accept_at`, which no certificate backs."""

    version: int
    thresholds: Mapping[tuple[int, int], float | None]
    """(step_no, tier_no) → least confidence accepted; None accepts any well-formed answer. Version 1 of a job with a
    target says what may be certified at all."""


def policy_of(job: Job) -> PolicyVersion:
    """Return version 1: what the job file says."""
    thresholds = {
        (step_no, tier_no): job.threshold(step_no, tier_no)
        for step_no in range(len(job.steps))
        for tier_no in job.ladder(step_no)
    }
    return PolicyVersion(version=FIRST_VERSION, thresholds=thresholds)


def believe(given: Given, calibrator: Calibrator) -> tuple[Confidence | None, dict[str, Confidence]]:
    """Return the confidence of the whole answer and of each field; None where the engine gave no probability.

    What the tier has learned about the answer goes before the calibrator.
    """
    whole = None if given.raw_score is None else calibrator(given.raw_score)
    whole = whole if given.confidence is None else given.confidence
    return whole, {name: calibrator(score) for name, score in given.field_scores.items()}


def decide(
    job: Job,
    policy: PolicyVersion,
    place: tuple[int, int],
    given: Given,
    confidence: Confidence | None,
    *,
    text: str,
    entry_points: Mapping[str, EntryPoint],
) -> Outcome:
    """Return what becomes of an answer at `place` = (step_no, tier_no)."""
    step_no, tier_no = place
    tier = job.tiers[tier_no]
    reason = _objection(job, policy, place, given, confidence, text=text, entry_points=entry_points)
    if reason is None:
        return Held() if job.is_certified(step_no, tier_no) else Verdict()
    rejected_here = reason == Defect.TOO_LONG and tier.on_long == "reject"
    upper = None if rejected_here else job.next_tier(step_no, tier_no)
    return Unresolved(reason) if upper is None else Escalation(upper, reason)


def _objection(
    job: Job,
    policy: PolicyVersion,
    place: tuple[int, int],
    given: Given,
    confidence: Confidence | None,
    *,
    text: str,
    entry_points: Mapping[str, EntryPoint],
) -> str | None:
    """Return why the answer is not accepted, or None."""
    step_no, tier_no = place
    if isinstance(given.answer, Malformed):
        return given.answer.defect
    step = job.steps[step_no]
    invented = invented_field(step.fields, given.answer, text) if isinstance(step, ExtractStep) else None
    if invented is not None:
        return f"{NOT_IN_TEXT}:{invented}"
    failed = failed_check(step.checks, given.answer, text, entry_points)
    if failed is not None:
        return f"{CHECK_FAILED}:{failed}"
    if job.doubts(tier_no) and (given.doubted or is_suspicious(text, _labels(step))):
        return SUSPICIOUS
    threshold = policy.thresholds[place]
    if threshold is None:
        return None
    if confidence is None:  # what is not known to be sure cannot be certified
        lenient = job.tiers[tier_no].on_unknown_confidence == "accept" and not job.is_certified(step_no, tier_no)
        return None if lenient else UNKNOWN_CONFIDENCE
    return LOW_CONFIDENCE if confidence.value < threshold else None


def _labels(step: Step) -> tuple[str, ...]:
    """Return the labels that a text may want to be given."""
    if isinstance(step, MultilabelStep):
        return tuple(step.labels)
    return step.form.options if isinstance(step.form, Choice) else ()
