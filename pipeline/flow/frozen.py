"""A run as a worker asks it: its questions, what they may cost at most, and what becomes of their answers."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TypeAlias

from pipeline.asking import Asking, askings, frozen_auto
from pipeline.domain.budget import most_usd
from pipeline.domain.calibration import uncalibrated
from pipeline.domain.checks import EntryPoint
from pipeline.domain.job import Job, steps_of
from pipeline.domain.outcomes import Attempt, Given
from pipeline.domain.policy import PolicyVersion, believe, decide, policy_of
from pipeline.domain.pricing import Price
from pipeline.flow.redacting import Shield
from pipeline.ports.engine import Ask, Reply
from pipeline.ports.store import ClaimedChunk, RunRecord

Place: TypeAlias = tuple[int, int]
"""(item_no, step_no)"""
Answered: TypeAlias = tuple[Place, str, Given | None]
"""A place, its item's text and its answer."""


@dataclass(frozen=True, kw_only=True)
class FrozenRun:
    """A run's job, ready to be asked: made once per run and worker."""

    run: RunRecord
    entry_points: Mapping[str, EntryPoint]
    _askings: dict[int, Mapping[int, Asking]] = field(default_factory=dict)
    _auto: dict[int, frozenset[int]] = field(default_factory=dict)
    _shields: dict[int, Shield] = field(default_factory=dict)

    @property
    def job(self) -> Job:
        """Its job."""
        return self.run.job

    def askings(self, tier_no: int) -> Mapping[int, Asking]:
        """Return what each step asks at a tier, by the steps' numbers."""
        if tier_no not in self._askings:
            self._auto[tier_no] = frozen_auto(self.job, tier_no, self.run.prompt_digests)
            self._askings[tier_no] = askings(self.job, tier_no, self._auto[tier_no])
        return self._askings[tier_no]

    def shield(self, tier_no: int) -> Shield:
        """Return what a tier does not see."""
        return self._shields.setdefault(tier_no, Shield(kinds=self.job.redacted_at(tier_no)))

    def fused(self, tier_no: int) -> tuple[str, ...]:
        """Return the names of the steps that share a reading by evidence."""
        return tuple(self.job.steps[number].name for number in sorted(self._auto.get(tier_no, ())))

    @cached_property
    def policy(self) -> PolicyVersion:
        """When its answers are believed."""
        return policy_of(self.job)

    def asks(self, claimed: ClaimedChunk, known: Container[Place] = ()) -> tuple[list[Place], list[Ask]]:
        """Lay out the items of a chunk step by step, so that an engine meets all items of one question together.

        A step of several questions has as many asks, one after another. What is `known` is not asked.
        """
        on_long = self.job.tiers[claimed.tier_no].on_long
        places: list[Place] = []
        asks: list[Ask] = []
        for step_no, asking in self.askings(claimed.tier_no).items():
            for item_no, mask, text in zip(claimed.item_nos, claimed.step_masks, claimed.texts, strict=True):
                if step_no in steps_of(mask) and (item_no, step_no) not in known:
                    places.append((item_no, step_no))
                    place = f"{self.run.name}/{item_no}/{step_no}/{claimed.tier_no}/{claimed.generation}"
                    asks += [
                        Ask(question=question, text=text, on_long=on_long, key=f"{place}/{number}")
                        for number, question in enumerate(asking.questions)
                    ]
        return places, asks

    def most_costs(self, claimed: ClaimedChunk, price: Price | None, known: Container[Place] = ()) -> list[Decimal]:
        """Return what each item of a chunk may cost at most; what is `known` costs nothing."""
        tier, shield = self.job.tiers[claimed.tier_no], self.shield(claimed.tier_no)
        tries = 1 + min(tier.retries, 1)  # one that timed out is asked once more, and both may be charged
        tries += self.job.looks_again(claimed.tier_no)
        return [
            sum(
                (
                    most_usd(
                        price,
                        (*shield.question(question).words, text),
                        answer_tokens=tier.max_answer_tokens,
                        tries=tries,
                    )
                    for step_no, asking in self.askings(claimed.tier_no).items()
                    if step_no in steps_of(mask) and (item_no, step_no) not in known
                    for question in asking.questions
                ),
                Decimal(0),
            )
            for item_no, mask, text in zip(
                claimed.item_nos, claimed.step_masks, map(shield.text, claimed.texts), strict=True
            )
        ]

    def merged(self, tier_no: int, places: Sequence[Place], asks: Sequence[Ask], reply: Reply) -> Iterator[Answered]:
        """Yield each place's answer, made of those to all of its questions; None where one of them was not answered."""
        at = 0
        for place in places:
            asking = self.askings(tier_no)[place[1]]
            until = at + len(asking.questions)
            given = [one for one in reply.given[at:until] if one is not None]
            yield place, asks[at].text, asking.merge(given) if len(given) == until - at else None
            at = until

    def attempt(self, tier_no: int, place: Place, text: str, given: Given, reply: Reply) -> Attempt:
        """Decide what becomes of an answer."""
        item_no, step_no = place
        confidence, field_confidences = believe(given, uncalibrated)
        outcome = decide(
            self.job,
            self.policy,
            (step_no, tier_no),
            given,
            confidence,
            text=text,
            entry_points=self.entry_points,
        )
        return Attempt(
            item_no=item_no,
            step_no=step_no,
            given=given,
            confidence=confidence,
            field_confidences=field_confidences,
            outcome=outcome,
            call_id=reply.calls[given.call_no].id,
        )
