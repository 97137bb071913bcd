"""How a tier is asked a job's steps: which questions each step becomes, and how their answers become the step's one.

Most steps are one question. A multilabel step is a yes-or-no question for every label where an engine reads a text once
for questions that begin alike, and one object elsewhere. A classify step with `orders` is asked with its labels in
several orders, and the probabilities are averaged.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.domain.answers import Answer, Fields, Label, Labels, Level, Malformed, Usage
from pipeline.domain.job import Job
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import ClassifyStep, MultilabelStep, ScoreStep, Step
from pipeline.prompts import Part, Question, alone, each, fused, whole

Merge: TypeAlias = Callable[[Sequence[Given]], Given]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A step, ready to be asked of any item."""

    questions: tuple[Question, ...]
    merge: Merge
    """Answers to the questions, in their order → the step's answer."""

    @property
    def digest(self) -> str:
        """All that a model sees of it."""
        return "+".join(question.digest for question in self.questions)


def askings(job: Job, tier_no: int, auto: Collection[int] = ()) -> dict[int, Asking]:
    """Return how a tier is asked each of the steps that it may answer, by step number.

    `auto` are the steps that share a reading by evidence; they count where the tier leaves it to that.
    """
    tier = job.tiers[tier_no]
    if tier.fuses:
        return laid_out(job, tier_no, _answered(job, tier_no))
    return laid_out(job, tier_no, auto if tier.fuses_by_evidence else ())


def laid_out(job: Job, tier_no: int, together: Collection[int]) -> dict[int, Asking]:
    """Return how a tier is asked its steps, with some of them (by number) in one reading and the others apart."""
    numbers = _answered(job, tier_no)
    shares_readings = job.tiers[tier_no].shares_readings
    parts = {number: _parts(job.steps[number], shares_readings=shares_readings) for number in numbers}
    sharing = [number for number in numbers if number in together]
    questions = {number: tuple(map(alone, parts[number])) for number in numbers}
    if len(sharing) > 1:
        asked = iter(fused([part for number in sharing for part in parts[number]]))
        questions |= {number: tuple(next(asked) for _ in parts[number]) for number in sharing}
    return {number: Asking(questions=questions[number], merge=_merge(job.steps[number])) for number in numbers}


def _answered(job: Job, tier_no: int) -> list[int]:
    """Return the numbers of the steps that a tier may answer."""
    return [number for number in range(len(job.steps)) if tier_no in job.ladder(number)]


def asked_apart(step: Step) -> Asking:
    """Return how a step is asked by itself, of an engine that reads a text once for questions that begin alike."""
    parts = _parts(step, shares_readings=True)
    return Asking(questions=tuple(map(alone, parts)), merge=_merge(step))


def prompt_digests(job: Job, auto: Mapping[int, Collection[int]] | None = None) -> dict[str, str]:
    """Return tier/step → digest of all that a model sees of the question: what a calibration depends on.

    `auto`: tier number → the steps that share a reading by evidence.
    """
    return {
        f"{tier.name}/{job.steps[step_no].name}": asking.digest
        for tier_no, tier in enumerate(job.tiers)
        for step_no, asking in askings(job, tier_no, (auto or {}).get(tier_no, ())).items()
    }


def frozen_auto(job: Job, tier_no: int, digests: Mapping[str, str]) -> frozenset[int]:
    """Return which steps share a reading by evidence according to a run's prompt digests.

    They were decided when the run was made, so that all its items are asked alike, by whichever worker and whatever is
    measured meanwhile. None where the digests are not of words that this release would use.
    """
    tier = job.tiers[tier_no]
    frozen = {number: digests.get(f"{tier.name}/{job.steps[number].name}") for number in _answered(job, tier_no)}
    apart = laid_out(job, tier_no, ())
    together = frozenset(number for number, asking in apart.items() if frozen[number] not in {None, asking.digest})
    layout = laid_out(job, tier_no, together)
    return together if all(layout[number].digest == frozen[number] for number in together) else frozenset()


def _parts(step: Step, *, shares_readings: bool) -> tuple[Part, ...]:
    if isinstance(step, MultilabelStep) and shares_readings:
        return each(step)
    if isinstance(step, ClassifyStep) and step.orders > 1 and shares_readings:  # an endpoint tells no label's share
        return tuple(whole(turned) for turned in _orders(step))
    return (whole(step),)


def _orders(step: ClassifyStep) -> list[ClassifyStep]:
    """Return the step with its labels turned round by equal parts: every label stands in different places."""
    labels = list(step.labels.items())
    starts = [len(labels) * number // step.orders for number in range(step.orders)]
    return [step.model_copy(update={"labels": dict(labels[start:] + labels[:start])}) for start in starts]


def _merge(step: Step) -> Merge:
    match step:
        case MultilabelStep():
            return lambda given: _ticked(tuple(step.labels), given)
        case ScoreStep():
            return lambda given: _level(step, given)
        case ClassifyStep() if step.orders > 1:
            return lambda given: _averaged(step.options, given)
        case _:
            return lambda given: given[0]


def _ticked(labels: Sequence[str], given: Sequence[Given]) -> Given:
    """Return the labels that fit; as sure as the least sure of them all, those that do not fit included."""
    bad = next((one.answer for one in given if isinstance(one.answer, Malformed)), None)
    if bad is not None:
        return _together(given, bad, None)
    first = given[0].answer
    if isinstance(first, Fields):
        fitting = tuple(label for label in labels if first.value.get(label) is True)
        return _together(given, Labels(fitting), given[0].raw_score)
    fitting = tuple(label for label, one in zip(labels, given, strict=True) if one.answer == Label("yes"))
    scores = [one.raw_score for one in given if one.raw_score is not None]
    return _together(given, Labels(fitting), min(scores) if len(scores) == len(given) else None)


def _level(step: ScoreStep, given: Sequence[Given]) -> Given:
    (one,) = given
    if not isinstance(one.answer, Label):
        return one
    expectation = None
    if one.shares is not None:
        pairs = zip(step.options, step.weights, strict=True)
        expectation = sum(one.shares[level] * weight for level, weight in pairs) / sum(one.shares.values())
    return _together(given, Level(one.answer.value, expectation), one.raw_score)


def _averaged(options: Sequence[str], given: Sequence[Given]) -> Given:
    """Return the label that is most probable on the average of all orders; that of the first where they are unknown."""
    bad = next((one.answer for one in given if isinstance(one.answer, Malformed)), None)
    if bad is not None:
        return _together(given, bad, None)
    shares = [one.shares for one in given if one.shares is not None]
    if len(shares) < len(given):
        return _together(given, given[0].answer, given[0].raw_score)
    means = {option: sum(one[option] for one in shares) / len(shares) for option in options}
    best = max(means, key=means.__getitem__)
    return _together(given, Label(best), RawScore(min(1.0, means[best])))


def _together(given: Sequence[Given], answer: Answer | Malformed, score: RawScore | None) -> Given:
    """Return one answer for several, with all that they used."""
    return Given(
        answer=answer,
        raw_score=score,
        usage=Usage(
            tokens_in=_sum([one.usage.tokens_in for one in given]),
            tokens_cached=_sum([one.usage.tokens_cached for one in given]),
            tokens_out=_sum([one.usage.tokens_out for one in given]),
        ),
        confidence=given[0].confidence if len(given) == 1 else None,
        call_no=given[0].call_no,
        doubted=any(one.doubted for one in given),
        truncated=any(one.truncated for one in given),
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
