"""Answers that need not be bought twice: those of earlier runs of the job to the same texts, of the very same model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeAlias
from uuid import uuid4

from pipeline.domain.job import Job, steps_of
from pipeline.domain.ledger import Call, LedgerEntry, enter
from pipeline.domain.outcomes import Given
from pipeline.domain.pricing import Price
from pipeline.flow.frozen import FrozenRun, Place
from pipeline.ports.earlier import EarlierStore, Known
from pipeline.ports.engine import Reply
from pipeline.ports.store import ClaimedChunk, RunRecord, WorkStore

_MOST_RUNS = 20
REUSED = "reuse"
"""What costs nothing whatever a call costs: the version of the price of what was known."""

Before: TypeAlias = Mapping[Place, Known]
"""What was answered before, by (item_no, step_no) of this run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A tier of an earlier run that was asked the same."""

    run_id: int
    tier_no: int
    steps: Mapping[int, int]
    """Its number of a step → this run's."""


def sources_of(store: WorkStore, frozen: FrozenRun, tier_no: int) -> tuple[Source, ...]:
    """Return where a tier's answers may be known from; none unless it says `reuse`."""
    if not frozen.job.tiers[tier_no].reuse:
        return ()
    found = []
    for run in store.earlier_runs(frozen.run.id, most=_MOST_RUNS):
        for number in range(len(run.job.tiers)):
            if not _sees_the_same(frozen.job, tier_no, run, number):
                continue
            steps = _same_steps(frozen.run, tier_no, run, number)
            if steps:
                found.append(Source(run_id=run.id, tier_no=number, steps=steps))
    return tuple(found)


def answered_before(
    store: EarlierStore, sources: Sequence[Source], claimed: ClaimedChunk, steps: Sequence[int], model: str | None
) -> dict[Place, Known]:
    """Return which of a chunk's questions were answered before; `steps` are those that its tier asks."""
    found: dict[Place, Known] = {}
    for source in sources:
        open_places = [
            place
            for place, mask in enumerate(claimed.step_masks)
            if any(
                step in steps_of(mask) and (claimed.item_nos[place], step) not in found
                for step in source.steps.values()
                if step in steps
            )
        ]
        texts = [claimed.texts[place] for place in open_places]
        for known in store.answered_before(source.run_id, source.tier_no, texts, model=model) if texts else ():
            place, step = open_places[known.text_no], source.steps.get(known.step_no)
            if step in steps and step in steps_of(claimed.step_masks[place]):
                found.setdefault((claimed.item_nos[place], step), known)
    return found


def with_known(reply: Reply, known: Before) -> tuple[Reply, dict[Place, Given]]:
    """Return a reply with one more call, of no tokens, for each model that answered what is known; and the answers."""
    calls = list(reply.calls)
    number: dict[str, int] = {}
    for one in known.values():
        if one.model not in number:
            number[one.model] = len(calls)
            calls.append(Call(id=uuid4(), model=one.model, tokens_in=0, tokens_cached=0, tokens_out=0, seconds=0.0))
    given = {place: replace(one.given, call_no=number[one.model]) for place, one in known.items()}
    return replace(reply, calls=tuple(calls)), given


def entered(reply: Reply, asked: int, price: Price | None) -> tuple[LedgerEntry, ...]:
    """Return a reply's ledger lines: the first `asked` calls were made, the others stand for what was known."""
    made = [enter(call, price) for call in reply.calls[:asked]]
    free = [LedgerEntry(call=call, cost_usd=Decimal(0), price_version=REUSED) for call in reply.calls[asked:]]
    return (*made, *free)


def _sees_the_same(job: Job, tier_no: int, earlier: RunRecord, number: int) -> bool:
    """Whether both tiers are served by the same workers, and are shown texts and asked again alike."""
    return (
        job.tiers[tier_no].pool == earlier.job.tiers[number].pool
        and job.redacted_at(tier_no) == earlier.job.redacted_at(number)
        and job.looks_again(tier_no) == earlier.job.looks_again(number)
    )


def _same_steps(run: RunRecord, tier_no: int, earlier: RunRecord, number: int) -> dict[int, int]:
    ours = {
        step.name: (step_no, step.model_copy(update={"ladder": None})) for step_no, step in enumerate(run.job.steps)
    }
    tier, other = run.job.tiers[tier_no].name, earlier.job.tiers[number].name
    found = {}
    for their_no, step in enumerate(earlier.job.steps):
        step_no, same = ours.get(step.name, (0, None))
        asked = run.prompt_digests.get(f"{tier}/{step.name}")
        words_match = asked is not None and asked == earlier.prompt_digests.get(f"{other}/{step.name}")
        if words_match and same == step.model_copy(update={"ladder": None}):
            found[their_no] = step_no
    return found
