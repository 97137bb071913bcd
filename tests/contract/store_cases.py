"""What the store's contract tests share: jobs, rows, answers, and a worker that decides as it is told."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

from pipeline.domain.answers import Answer, Defect, Label, Malformed, Usage
from pipeline.domain.items import Item, RejectedRow, RejectReason
from pipeline.domain.job import Job, steps_of
from pipeline.domain.ledger import Call, LedgerEntry
from pipeline.domain.outcomes import LOW_CONFIDENCE, Attempt, Escalation, Given, Outcome, Unresolved, Verdict
from pipeline.domain.pricing import Price, PriceBook
from pipeline.domain.runs import RunState, identity_digest, run_name
from pipeline.domain.scores import Confidence, RawScore
from pipeline.ports.store import ChunkNotice, ClaimedChunk, Committed, JudgedChunk, NewRun, RunRecord, Store

MOOD: Mapping[str, Any] = {"name": "mood", "kind": "sentiment"}
TOPIC: Mapping[str, Any] = {"name": "topic", "kind": "classify", "labels": ["billing", "other"]}
DETAILS: Mapping[str, Any] = {"name": "details", "kind": "extract", "fields": {"order": {"type": "string"}}}
LONG_S = 3600.0
"""Longer than any test."""
MANY = 10_000
"""More chunks than any test makes."""
PATIENT = 1000
"""More claims than any test makes."""
VERSION = "list@2020-01-01"

Decide = Callable[[int, int, int], Outcome]
"""(item_no, step_no, tier_no) → what becomes of it there."""


def tier(name: str, *, chunk_items: int = 4, price: str | None = "list") -> dict[str, Any]:
    """Describe a tier that needs no model."""
    return {"name": name, "engine": "instant", "model": name, "chunk_items": chunk_items, "price": price}


def make_job(
    *steps: Mapping[str, Any],
    tiers: Sequence[Mapping[str, Any]] = (tier("small"), tier("large")),
    name: str = "tickets",
) -> Job:
    """Return a job of these steps, by default of one."""
    return Job.model_validate({"name": name, "steps": steps or (MOOD,), "tiers": tiers})


def price_book(**prices: str) -> PriceBook:
    """Return a book with `list`, $1 a million tokens in and $2 out, unless told otherwise."""
    values: dict[str, Any] = {"usd_per_mtok_in": "1", "usd_per_mtok_out": "2"} if not prices else dict(prices)
    return PriceBook(prices=(Price.model_validate({"name": "list", "valid_from": "2020-01-01", **values}),))


def item(text: str, *, key: str = "k", line: int = 1, source: str = "tickets.csv") -> Item:
    """Return an item."""
    return Item(key=key, source=source, line=line, text=text)


def items(texts: Iterable[str], *, first: int = 0) -> list[Item]:
    """Return items whose keys and lines follow from their place."""
    return [item(text, key=f"k{number}", line=number + 1) for number, text in enumerate(texts, first)]


def rejected(line: int = 1) -> RejectedRow:
    """Return a row that is no item."""
    return RejectedRow(source="tickets.csv", line=line, reason=RejectReason.SHORT_ROW, detail="2 of 3 columns")


def call(*, cost_usd: str | None = "0.001", tokens_in: int = 100, tokens_out: int = 10) -> LedgerEntry:
    """Return a ledger line of a new call; `cost_usd` None is a call whose price is unknown."""
    return LedgerEntry(
        call=Call(id=uuid4(), model="m", tokens_in=tokens_in, tokens_cached=None, tokens_out=tokens_out, seconds=0.5),
        cost_usd=None if cost_usd is None else Decimal(cost_usd),
        price_version=None if cost_usd is None else VERSION,
    )


def attempt(
    place: tuple[int, int],
    outcome: Outcome,
    entry: LedgerEntry,
    *,
    answer: Answer | Malformed | None = None,
    confidence: float | None = 0.75,
    fields: Mapping[str, float] | None = None,
    usage: Usage | None = None,
) -> Attempt:
    """Return an attempt at `place` = (item_no, step_no) that `entry` paid for."""
    scores = {name: RawScore(value) for name, value in (fields or {}).items()}
    given = Given(
        answer=answer or Label("neutral"),
        raw_score=None if confidence is None else RawScore(confidence),
        field_scores=scores,
        usage=usage or Usage(tokens_in=10, tokens_out=1),
        call_no=0,
    )
    return Attempt(
        item_no=place[0],
        step_no=place[1],
        given=given,
        confidence=None if confidence is None else Confidence(confidence, calibrated=False),
        field_confidences={name: Confidence(score.value, calibrated=False) for name, score in scores.items()},
        outcome=outcome,
        call_id=entry.call.id,
    )


def malformed(defect: Defect = Defect.MALFORMED) -> Malformed:
    """Return a model's useless answer."""
    return Malformed(defect=defect, detail="no JSON")


def accept(item_no: int, step_no: int, tier_no: int) -> Outcome:  # noqa: ARG001 — a Decide that looks at nothing
    """Believe every answer."""
    return Verdict()


def escalate(item_no: int, step_no: int, tier_no: int) -> Outcome:  # noqa: ARG001 — the same everywhere
    """Believe the large tier only."""
    return Verdict() if tier_no else Escalation(1, LOW_CONFIDENCE)


def resolve_nothing(item_no: int, step_no: int, tier_no: int) -> Outcome:  # noqa: ARG001 — the same everywhere
    """Believe nobody."""
    return Unresolved(LOW_CONFIDENCE) if tier_no else Escalation(1, LOW_CONFIDENCE)


def places_of(claimed: ClaimedChunk) -> list[tuple[int, int]]:
    """Return the (item_no, step_no) that a chunk asks."""
    pairs = zip(claimed.item_nos, claimed.step_masks, strict=True)
    return [(item_no, step_no) for item_no, mask in pairs for step_no in steps_of(mask)]


def judge(claimed: ClaimedChunk, decide: Decide = accept, *, entry: LedgerEntry | None = None) -> JudgedChunk:
    """Answer a whole chunk with one call."""
    paid = entry or call()
    attempts = [attempt(place, decide(*place, claimed.tier_no), paid) for place in places_of(claimed)]
    return JudgedChunk(claimed=claimed, policy_version=1, attempts=tuple(attempts), ledger=(paid,))


@dataclass(kw_only=True)
class Rig:
    """A store with one worker that does as it is told."""

    store: Store
    runs_made: int = field(default=0, init=False)

    def open(self, job: Job | None = None, *, source: str = "", book: PriceBook | None = None) -> RunRecord:
        """Open a run, of a source of its own unless one is named."""
        self.runs_made += 1
        return self.store.open_run(self.new(job, source=source or f"source {self.runs_made}", book=book))[0]

    @staticmethod
    def new(job: Job | None = None, *, source: str, book: PriceBook | None = None) -> NewRun:
        """Return what `open_run` takes."""
        job = job or make_job()
        return NewRun(
            name=run_name(job.name, identity_digest(job.name, job.digest, source)),
            job=job,
            source_digest=source,
            price_book=book or price_book(),
            prompt_digests={step.name: "d" for step in job.steps},
        )

    def filled(self, texts: Iterable[str], job: Job | None = None, *, book: PriceBook | None = None) -> RunRecord:
        """Open a run and read its whole source."""
        run = self.open(job, book=book)
        self.store.add_rows(run.id, items(texts), at=0, keyed=False)
        self.store.finish_ingest(run.id)
        return self.store.run(run.id)

    def waiting(self) -> list[ChunkNotice]:
        """Return all chunks that are due, and leave them so."""
        self.store.take_back(dead_after=PATIENT)
        notices = list(self.store.due(ahead=MANY))
        self.store.not_announced([notice.chunk_id for notice in notices])
        return sorted(notices, key=lambda notice: notice.chunk_id)

    def claim(self, chunk_id: int, *, lease_s: float = LONG_S, worker: str = "w1") -> ClaimedChunk:
        """Claim a chunk that must be there to be claimed."""
        claimed = self.store.claim(chunk_id, worker=worker, lease_s=lease_s)
        assert claimed is not None
        return claimed

    def claim_first(self, *, lease_s: float = LONG_S) -> ClaimedChunk:
        """Claim the first chunk that is due."""
        return self.claim(self.waiting()[0].chunk_id, lease_s=lease_s)

    def judge_next(self, decide: Decide = accept, *, entry: LedgerEntry | None = None) -> Committed:
        """Claim, judge and commit one chunk."""
        return self.store.commit(judge(self.claim_first(), decide, entry=entry))

    def finish(self, run: RunRecord, decide: Decide = accept) -> RunState:
        """Judge whatever there is until the run ends."""
        while True:
            for notice in self.waiting():
                self.store.commit(judge(self.claim(notice.chunk_id), decide))
            state, _ = self.store.settle(run.id)
            if not self.waiting():
                return state
