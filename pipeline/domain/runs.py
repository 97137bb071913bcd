"""A run as people see it: its states, its counts, its results. `as_json` forms are the contract for scripts."""

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pipeline.domain.answers import Plain, Where, plain_where
from pipeline.domain.budget import NOTHING_UNSETTLED, Spending, Unsettled
from pipeline.domain.job import PEOPLE_TIER
from pipeline.domain.ledger import saved_ratio


class RunState(StrEnum):
    """Where a run stands."""

    INGESTING = "ingesting"
    """The source is being read, or its reading was interrupted; workers are at it already."""
    RUNNING = "running"
    """The source is read; chunks are open."""
    PAUSED = "paused"
    """A tier's endpoint is down; its chunks wait and are probed. Shown, not stored: the run goes on by itself."""
    HELD = "held"
    """Stopped until somebody decides: a promise cannot be kept."""
    DONE = "done"
    """Every (item, step) has its outcome."""
    CANCELLED = "cancelled"
    """Stopped by its owner; `retry` takes it up again."""
    FAILED = "failed"
    """A chunk could not be finished; the reason says why and `retry` takes it up again."""


PAUSED_BY_HAND = "paused by hand; go on with: headrace resume"
"""How the reason of a held run begins that nothing but its owner holds."""
FINAL_STATES = frozenset({RunState.DONE, RunState.CANCELLED, RunState.FAILED})
ENDED_STATES = FINAL_STATES | {RunState.HELD}
"""Nothing more happens by itself."""
WORKING_STATES = frozenset({RunState.INGESTING, RunState.RUNNING})


def shown_state(state: RunState, reason: str | None, paused: Mapping[str, str]) -> tuple[RunState, str | None]:
    """Return the state and the reason that people are shown; `paused` is tier → why it is."""
    if state is not RunState.RUNNING or not paused:
        return state, reason
    return RunState.PAUSED, "; ".join(f"tier {tier}: {why}" for tier, why in paused.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCounts:
    """Outcomes of one step, copies of identical texts counted with them."""

    verdicts: Mapping[str, int]
    """Tier name → verdicts given there."""
    unresolved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """A run, counted."""

    run: str
    state: RunState
    reason: str | None
    items: int
    """Valid rows, copies of identical texts included."""
    rejected: int
    duplicates: int
    """Among `items`: those that took the answer of an identical text."""
    steps: Mapping[str, StepCounts]
    known_usd: Decimal
    unknown_calls: int
    calls: int
    baseline_usd: Decimal | None
    created_at: dt.datetime
    seconds: float
    """From the start to the end, or to now."""
    spending: Spending | None = None
    """None: it has no budget."""
    unsettled: Unsettled = NOTHING_UNSETTLED
    """Paid calls of lost workers, with a budget or without."""
    forgotten: int = 0
    """Valid rows that were forgotten since: not among `items`."""

    @property
    def asked(self) -> int:
        """How many (item, step) there are to answer."""
        return self.items * len(self.steps)

    @property
    def answered(self) -> int:
        """How many of them have their outcome."""
        return sum(sum(step.verdicts.values()) + step.unresolved for step in self.steps.values())

    def as_json(self) -> dict[str, Any]:
        """Return the script contract of `status --json`; unknown is null."""
        ratio = saved_ratio(known_usd=self.known_usd, unknown_calls=self.unknown_calls, baseline=self.baseline_usd)
        return {
            "run": self.run,
            "state": self.state.value,
            "reason": self.reason,
            "items": self.items,
            "rejected": self.rejected,
            "duplicates": self.duplicates,
            "forgotten": self.forgotten,
            "steps": {
                name: {"verdicts": dict(step.verdicts), "unresolved": step.unresolved}
                for name, step in self.steps.items()
            },
            "cost": {
                "known_usd": usd(self.known_usd),
                "unknown_calls": self.unknown_calls,
                "baseline_usd": usd(self.baseline_usd),
                "saved_ratio": None if ratio is None else round(ratio, 4),
            },
            "budget": None if self.spending is None else self.spending.as_json(),
            "unsettled": self.unsettled.as_json(),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What is known of one step of one item."""

    state: str
    """verdict, unresolved, pending, or uncertified: the best answer so far, for want of money for a better one."""
    value: Plain
    """The answer; of an unresolved step the best that was given, or None."""
    fields: Mapping[str, float | None]
    """Confidence of each field, for records."""
    confidence: float | None
    calibrated: bool
    tier: str | None
    escalated_from: tuple[tuple[str, str], ...]
    """(tier, reason), cheapest first."""
    reason: str | None
    expectation: float | None = None
    """Of a score step, where known."""
    spans: Mapping[str, Where] = field(default_factory=dict)
    """Of a record: where the text says a field's value, of a list each of its values; where known."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract of one answer; `expectation` and `spans` only where there are any."""
        value: Any = self.value
        more: dict[str, Any] = {} if self.expectation is None else {"expectation": self.expectation}
        if self.spans:
            more["spans"] = {name: plain_where(where) for name, where in self.spans.items()}
        return {
            "state": self.state,
            "value": dict(value) if isinstance(value, Mapping) else value,
            "fields": dict(self.fields),
            "confidence": self.confidence,
            "calibrated": self.calibrated,
            "tier": self.tier,
            "escalated_from": [{"tier": tier, "reason": reason} for tier, reason in self.escalated_from],
            "reason": self.reason,
            **more,
        }


def shown_label(result: StepResult, labels: Mapping[tuple[int, int], Plain], place: tuple[int, int]) -> StepResult:
    """Return a step's result with people's label of its (item_no, step_no), if any, in place of a tier's answer."""
    if place not in labels:
        return result
    return StepResult(
        state="verdict",
        value=labels[place],
        fields={},
        confidence=None,
        calibrated=False,
        tier=PEOPLE_TIER,
        escalated_from=result.escalated_from,
        reason=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLine:
    """All answers of one valid row."""

    key: str
    source: str
    line: int
    answers: Mapping[str, StepResult]

    def as_json(self) -> dict[str, Any]:
        """Return the script contract of one results line."""
        return {
            "key": self.key,
            "source": self.source,
            "line": self.line,
            "answers": {step: result.as_json() for step, result in self.answers.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """Costs of one group; None in a count means that some call did not say."""

    group: Mapping[str, str]
    calls: int
    unknown_calls: int
    """Calls whose cost is unknown; `known_usd` is without them."""
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    seconds: float
    known_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Rows and their sum. The sum of the rows' money equals the ledger's to the last unit."""

    rows: tuple[CostRow, ...]
    known_usd: Decimal
    unknown_calls: int
    unsettled: Unsettled = NOTHING_UNSETTLED
    """In no row: nobody knows what became of them."""


def usd(amount: Decimal | None) -> float | None:
    """Write money as a JSON number, exact to 1e-12 below $1,000; unknown stays None. Sums are made before this."""
    return None if amount is None else float(amount)


def identity_digest(job_name: str, job_digest: str, source_digest: str) -> str:
    """Return the digest of a run's identity."""
    return hashlib.sha256(f"{job_name}\n{job_digest}\n{source_digest}".encode()).hexdigest()


def run_name(job_name: str, digest: str) -> str:
    """Return the name under which people know a run: the job's name and ten digits of its identity."""
    return f"{job_name}-{digest[:10]}"
