"""Timing an engine on a job's own items: all steps of a tier, as a worker asks them, chunk by chunk."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.asking import Asking, laid_out
from pipeline.domain.errors import ConservationError
from pipeline.domain.fusing import StepEvidence, Trial
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.outcomes import Given
from pipeline.flow.samples import accuracy, agreement
from pipeline.flow.scoring import GoldLine
from pipeline.ports.clock import Clock
from pipeline.ports.engine import Ask, TimedEngine

_WARM_UP = 8
"""Items asked before anything is timed: they bring the file into memory and the instructions into the cache."""
_FEWEST_FUSED = 2

Progress = Callable[[str, int, int], None]
"""Called with (what is asked, items done, of how many)."""


@dataclass(slots=True, kw_only=True)
class Rate:
    """What a while of reading and writing came to."""

    items: int = 0
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_cached: int = 0
    """Of these, shared away: not read again."""
    tokens_out: int = 0

    @property
    def items_per_s(self) -> float:
        """Items a second."""
        return self.items / self.seconds

    @property
    def read_tokens_per_s(self) -> float:
        """Tokens a second that were really read."""
        return (self.tokens_in - self.tokens_cached) / self.seconds

    def as_json(self, prefill_tokens_per_s: float) -> dict[str, Any]:
        """Return the script contract."""
        return {
            "items": self.items,
            "seconds": round(self.seconds, 3),
            "items_per_s": round(self.items_per_s, 3),
            "read_tokens_per_s": round(self.read_tokens_per_s, 1),
            "shared_tokens_per_s": round(self.tokens_cached / self.seconds, 1),
            "written_tokens_per_s": round(self.tokens_out / self.seconds, 1),
            "share_of_prefill": round(self.read_tokens_per_s / prefill_tokens_per_s, 4),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """All steps asked of all items in one layout."""

    total: Rate
    readings: Mapping[tuple[str, ...], Rate]
    """Names of the steps that share a reading → what it came to."""
    prefill_tokens_per_s: float
    """512 tokens at once, just before and just after: what the machine could read at best meanwhile."""
    answers: Mapping[int, Sequence[Given]] = field(repr=False)
    """By step number, in the order of the items."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        best = self.prefill_tokens_per_s
        readings = [{"steps": list(steps), **rate.as_json(best)} for steps, rate in self.readings.items()]
        return {**self.total.as_json(best), "prefill_tokens_per_s": round(best, 1), "readings": readings}


@dataclass(slots=True, kw_only=True)
class Bench:
    """An engine, a tier of a job, and items to ask it of."""

    engine: TimedEngine
    job: Job
    tier_no: int
    items: Sequence[Item]
    clock: Clock
    show: Progress
    _prefill: float | None = None
    """Tokens a second, as last measured."""

    def warm_up(self) -> None:
        """Ask a few items, untimed."""
        self._asked(laid_out(self.job, self.tier_no, ()), self.items[:_WARM_UP])

    def timed(self, fused: Sequence[int], what: str) -> Timed:
        """Ask all items, some steps (by number) in one reading, in chunks as a run makes them."""
        askings = laid_out(self.job, self.tier_no, fused)
        size = self.job.tiers[self.tier_no].chunk_items
        total, readings = Rate(), dict[tuple[str, ...], Rate]()
        answers: dict[int, list[Given]] = {number: [] for number in askings}
        before = self._prefill or self.engine.read_tokens_per_s()
        for at in range(0, len(self.items), size):
            chunk = self.items[at : at + size]
            started_s = self.clock.monotonic_s()
            given, calls = self._asked(askings, chunk)
            total.seconds += self.clock.monotonic_s() - started_s
            total.items += len(chunk)
            for number, ones in given.items():
                answers[number] += ones
            for steps, rate in calls:
                for sum_ in (readings.setdefault(steps, Rate()), total):
                    _add(sum_, rate)
                readings[steps].items += len(chunk)
                readings[steps].seconds += rate.seconds
            self.show(what, total.items, len(self.items))
        self._prefill = self.engine.read_tokens_per_s()
        best = (before + self._prefill) / 2
        return Timed(total=total, readings=readings, prefill_tokens_per_s=best, answers=answers)

    def _asked(
        self, askings: Mapping[int, Asking], chunk: Sequence[Item]
    ) -> tuple[dict[int, list[Given]], list[tuple[tuple[str, ...], Rate]]]:
        """Ask a chunk step by step, as the judge does; returns merged answers, and what each call came to."""
        on_long = self.job.tiers[self.tier_no].on_long
        places = [(number, item) for number in askings for item in chunk]
        asks = [
            Ask(question=question, text=item.text, on_long=on_long)
            for number, item in places
            for question in askings[number].questions
        ]
        reply = self.engine.answer(asks)
        given = [one for one in reply.given if one is not None]
        if len(given) != len(asks):
            raise ConservationError(f"{len(asks)} asks, {len(given)} answers: the engine lost some")
        steps: dict[int, dict[str, None]] = {}
        for ask, one in zip(asks, given, strict=True):
            steps.setdefault(one.call_no, {})[ask.question.step] = None
        merged: dict[int, list[Given]] = {number: [] for number in askings}
        rest = iter(given)
        for number, _ in places:
            asking = askings[number]
            merged[number].append(asking.merge([next(rest) for _ in asking.questions]))
        calls = [
            (
                tuple(steps.get(call_no, ())),
                Rate(
                    seconds=call.seconds,
                    tokens_in=call.tokens_in or 0,
                    tokens_cached=call.tokens_cached or 0,
                    tokens_out=call.tokens_out or 0,
                ),
            )
            for call_no, call in enumerate(reply.calls)
        ]
        return merged, calls


def _add(total: Rate, more: Rate) -> None:
    total.tokens_in += more.tokens_in
    total.tokens_cached += more.tokens_cached
    total.tokens_out += more.tokens_out


def fuse_trials(bench: Bench, apart: Timed, gold: Mapping[str, GoldLine] | None) -> list[tuple[Trial, Timed]]:
    """Ask all steps in one reading, then those that held, until all hold or fewer than two are left."""
    found: list[tuple[Trial, Timed]] = []
    candidates = list(apart.answers)
    while len(candidates) >= _FEWEST_FUSED:
        names = [bench.job.steps[number].name for number in candidates]
        fused = bench.timed(candidates, f"one reading for {', '.join(names)}")
        trial = Trial(
            steps=tuple(_evidence(bench, number, apart, fused, gold) for number in candidates),
            apart_items_per_s=apart.total.items_per_s,
            fused_items_per_s=fused.total.items_per_s,
        )
        found.append((trial, fused))
        held = [number for number, one in zip(candidates, trial.steps, strict=True) if one.holds]
        if held == candidates:
            break
        candidates = held
    return found


def step_accuracy(
    bench: Bench, number: int, answers: Sequence[Given], gold: Mapping[str, GoldLine] | None
) -> float | None:
    """Return the share of right answers among the items that have gold for a step; None where none has."""
    pairs = _with_gold(bench, number, answers, gold)
    return accuracy([one for one, _ in pairs], [right for _, right in pairs])


def _with_gold(
    bench: Bench, number: int, answers: Sequence[Given], gold: Mapping[str, GoldLine] | None
) -> list[tuple[Given, Any]]:
    known, step = gold or {}, bench.job.steps[number].name
    return [
        (one, known[item.key].answers[step])
        for item, one in zip(bench.items, answers, strict=True)
        if item.key in known and step in known[item.key].answers
    ]


def _evidence(
    bench: Bench, number: int, apart: Timed, fused: Timed, gold: Mapping[str, GoldLine] | None
) -> StepEvidence:
    return StepEvidence(
        step=bench.job.steps[number].name,
        answers=len(_with_gold(bench, number, apart.answers[number], gold)) or len(bench.items),
        same=agreement(apart.answers[number], fused.answers[number]),
        apart_accuracy=step_accuracy(bench, number, apart.answers[number], gold),
        fused_accuracy=step_accuracy(bench, number, fused.answers[number], gold),
    )
