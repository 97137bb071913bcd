"""Estimate: a sample of the inputs through the job's own cascade, scaled up to the run."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from pipeline.asking import askings
from pipeline.domain.answers import Malformed, to_json
from pipeline.domain.attempt_costs import attempt_costs
from pipeline.domain.estimate import (
    USUAL_CHARS_PER_TOKEN,
    Estimate,
    PromiseEstimate,
    TierEstimate,
    reckoned_usd,
    total,
)
from pipeline.domain.job import Job
from pipeline.domain.outcomes import Attempt, Escalation, Held
from pipeline.domain.pricing import USD_QUANTUM, Price
from pipeline.domain.sampling import mean_interval, most_unseen
from pipeline.domain.steps import Choice
from pipeline.domain.targets import PEOPLE
from pipeline.flow.by_top import chosen
from pipeline.flow.redacting import Shield
from pipeline.ports.store import HeldAnswers, JudgedChunk, Window
from pipeline.prompts import Question

_MOST_SIMULATED = 20_000
"""Items for which a drawing is worked out; a larger run has no worse one."""
_ANSWER_FRAME_CHARS = 14
"""Of {"answer": ""}, which a label stands in."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of a sample: nothing is asked here."""

    job: Job
    texts: Sequence[str]
    """By item number."""
    prices: Mapping[int, Price | None]
    """By tier number."""
    judged: Sequence[JudgedChunk]
    seconds: Mapping[int, float]
    """Tier → how long a worker was at it; only of tiers that were asked, or would have been if anything had come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One question that a tier was asked, or would be."""

    item_no: int
    step_no: int
    usd: Decimal | None


def estimated(trial: Trial, *, items: int, seed: int) -> Estimate:
    """Scale a sample up to a run of so many different texts."""
    job, size = trial.job, len(trial.texts)
    asked = _asked(trial)
    found_promises = (_promise(trial, step_no, items, asked) for step_no in job.certified_steps)
    promises = [one for one in found_promises if one is not None]
    tiers = tuple(_tier(trial, number, asked[number], items) for number in range(len(job.tiers)))
    by_item: dict[int, list[Decimal | None]] = {number: [] for number in range(size)}
    for one in (one for rows in asked.values() for one in rows):
        by_item[one.item_no].append(one.usd)
    known = [cost for cost in map(_sum, by_item.values()) if cost is not None]
    extra = total({number: one.usd for number, one in enumerate(promises)})
    usd = low = high = None
    if len(known) == size and extra is not None:
        usd = (sum(known, Decimal(0)) * items / size + extra).quantize(USD_QUANTUM)
        found = mean_interval([float(cost) for cost in known], np.random.default_rng(seed), of=items)
        if found is not None:
            low, high = ((Decimal(repr(end)) * items + extra).quantize(USD_QUANTUM) for end in found)
    return Estimate(
        items=items,
        sample=size,
        usd=usd,
        usd_low=low,
        usd_high=high,
        at_least=any(one.at_least for one in tiers),
        tiers=tiers,
        promises=tuple(promises),
        dearest_usd=max(known) if len(known) == size else None,
        notes=tuple(_notes(trial, tiers, asked)),
    )


def _asked(trial: Trial) -> dict[int, list[_Asked]]:
    """Return what each tier was asked; of one that was not, what it would be, as far as that is known."""
    found: dict[int, list[_Asked]] = {number: [] for number in range(len(trial.job.tiers))}
    goes_up: dict[int, list[tuple[int, int, Attempt | None]]] = defaultdict(list)
    for step_no in range(len(trial.job.steps)):
        goes_up[trial.job.ladder(step_no)[0]] += [(no, step_no, None) for no in range(len(trial.texts))]
    for judged in trial.judged:
        costs = attempt_costs(judged.attempts, judged.ledger)
        for attempt, usd in zip(judged.attempts, costs, strict=True):
            one = _Asked(item_no=attempt.item_no, step_no=attempt.step_no, usd=usd)
            found[judged.claimed.tier_no].append(one)
            if isinstance(attempt.outcome, Escalation):
                goes_up[attempt.outcome.to_tier].append((attempt.item_no, attempt.step_no, attempt))
    for tier_no in _unasked(trial):
        found[tier_no] = [
            _Asked(item_no=no, step_no=step_no, usd=_reckoned(trial, (step_no, tier_no), no, below))
            for no, step_no, below in goes_up[tier_no]
        ]
    return found


def _unasked(trial: Trial) -> list[int]:
    return [number for number in range(len(trial.job.tiers)) if number not in trial.seconds]


def _reckoned(trial: Trial, place: tuple[int, int], item_no: int, below: Attempt | None) -> Decimal | None:
    """Return what a question at (step, tier) will about cost; `below`: the answer that was not sure enough."""
    step_no, tier_no = place
    tier = trial.job.tiers[tier_no]
    shield = Shield(kinds=trial.job.redacted_at(tier_no))
    text = shield.text(trial.texts[item_no])
    costs = [
        reckoned_usd(
            trial.prices[tier_no],
            chars_in=sum(map(len, question.words)) + len(text),
            chars_out=_answer_chars(question, below, tier.max_answer_tokens),
        )
        for question in askings(trial.job, tier_no)[step_no].questions
    ]
    return _sum(costs)


def _answer_chars(question: Question, below: Attempt | None, most_tokens: int) -> int:
    """Return how long an answer will about be: a label, or as long as that of the tier below; else the longest."""
    longest = most_tokens * USUAL_CHARS_PER_TOKEN
    if isinstance(question.form, Choice):
        return min(longest, _ANSWER_FRAME_CHARS + max(map(len, question.form.options)))
    if below is None or isinstance(below.given.answer, Malformed):
        return longest
    return min(longest, len(json.dumps(to_json(below.given.answer)["value"], ensure_ascii=False)))


def _sum(costs: Iterable[Decimal | None]) -> Decimal | None:
    return total(dict(enumerate(costs)))


def _tier(trial: Trial, tier_no: int, asked: Sequence[_Asked], items: int) -> TierEstimate:
    size = len(trial.texts)
    usd = _sum(one.usd for one in asked)
    seconds = trial.seconds.get(tier_no)
    if seconds is None:
        calls = sum(len(askings(trial.job, tier_no)[one.step_no].questions) for one in asked)
    else:
        calls = sum(len(judged.ledger) for judged in trial.judged if judged.claimed.tier_no == tier_no)
    return TierEstimate(
        tier=trial.job.tiers[tier_no].name,
        asked=seconds is not None,
        items=round(len({one.item_no for one in asked}) * items / size),
        calls=round(calls * items / size),
        usd=None if usd is None else (usd * items / size).quantize(USD_QUANTUM),
        hours=None if seconds is None else seconds * items / size / 3600,
        at_least=_hidden(trial, tier_no),
    )


def _hidden(trial: Trial, tier_no: int) -> bool:
    """Whether more may come to a tier from one below that was not asked, and that may be unsure."""
    job = trial.job
    return any(
        job.next_tier(step_no, below) == tier_no or (_hidden(trial, below) and tier_no in job.ladder(step_no))
        for below in _unasked(trial)
        if below < tier_no
        for step_no in range(len(job.steps))
        if below in job.ladder(step_no)
    )


def _promise(trial: Trial, step_no: int, items: int, asked: Mapping[int, Sequence[_Asked]]) -> PromiseEstimate | None:
    """Work out from confidences alone, as the run will, what a target sends up beyond the job's thresholds."""
    job, size = trial.job, len(trial.texts)
    top = job.ladder(step_no)[-1]
    held = [
        (judged.claimed.tier_no, attempt)
        for judged in trial.judged
        for attempt in judged.attempts
        if attempt.step_no == step_no and isinstance(attempt.outcome, Held)
    ]
    if not held or job.target is None or job.target.reference == PEOPLE:
        return None
    times = max(1, min(items, _MOST_SIMULATED) // size)
    answers = HeldAnswers(
        item_nos=np.arange(len(held) * times, dtype=np.int64),
        tier_nos=np.tile(np.array([tier_no for tier_no, _ in held], dtype=np.int64), times),
        confidences=np.tile([0.0 if one.confidence is None else one.confidence.value for _, one in held], times),
        calibrated=np.tile([one.confidence is not None and one.confidence.calibrated for _, one in held], times),
    )
    window = Window(step_no=step_no, number=0, first_item=0, until_item=size * times, items=size * times)
    _, drawing = chosen(job, window, answers)
    share = len(held) / size - (0.0 if drawing is None else drawing.expected_avoided)
    more = max(0, round(share * items))
    at_top = [one.usd for one in asked[top] if one.step_no == step_no]
    costs = at_top or [_reckoned(trial, (step_no, top), one.item_no, one) for _, one in held]
    usd = _sum(costs)
    return PromiseEstimate(
        step=job.steps[step_no].name,
        tier=job.tiers[top].name,
        drawn=0 if drawing is None else min(drawing.drawn, more),
        more_items=more,
        usd=None if usd is None else (usd * more / len(costs)).quantize(USD_QUANTUM),
    )


def _notes(trial: Trial, tiers: Sequence[TierEstimate], asked: Mapping[int, Sequence[_Asked]]) -> Iterator[str]:
    job, size = trial.job, len(trial.texts)
    for number, tier in enumerate(tiers):
        if any(one.usd is None for one in asked[number]):
            yield f"{tier.tier}: what it costs is unknown" + (
                "" if tier.asked else ", since it was not asked and has no price by token"
            )
        if not tier.asked and asked[number]:
            yield (
                f"{tier.tier} was not asked (--paid allows it): its part is reckoned from {USUAL_CHARS_PER_TOKEN} "
                "characters a token and the listed price"
            )
        if job.tiers[number].reuse and asked[number]:
            yield f"{tier.tier}: what earlier runs know of it (`reuse`) is not taken off"
        if tier.at_least:
            yield f"{tier.tier}: at least; what a tier below it that was not asked sends up is unknown"
        elif not asked[number]:
            yield (
                f"{tier.tier}: no item of {size:,} went up to it; up to {most_unseen(size):.1%} of the run's may, "
                "which is in no figure"
            )
    if job.target is not None and job.target.reference == PEOPLE:
        yield "what people's answers send up for the target is not included"
    elif job.target is not None:
        yield "for the target, drawn items are asked of the last tier as well: included, as a run chooses how many"
        if job.target.audit:
            yield f"audits ({job.target.audit:.1%} of what stands) are not included"
