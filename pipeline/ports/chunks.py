"""Chunks, as they go from the store to a worker and back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.domain.ledger import LedgerEntry
from pipeline.domain.outcomes import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkNotice:
    """A chunk that is to be announced on its tier's queue."""

    chunk_id: int
    run_name: str
    tier: str
    pool: str
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedChunk:
    """A chunk that this worker holds until its lease runs out."""

    chunk_id: int
    run_id: int
    tier_no: int
    generation: int
    fence: int
    claims: int
    """How often it was claimed, this time included."""
    item_nos: tuple[int, ...]
    step_masks: tuple[int, ...]
    texts: tuple[str, ...]
    announced: int = 0
    """Others of its run and tier that stand announced and that nobody has claimed."""

    def only(self, places: Sequence[int]) -> "ClaimedChunk":
        """Return the same claim with these of its items, by their places in it."""
        return replace(
            self,
            item_nos=tuple(self.item_nos[place] for place in places),
            step_masks=tuple(self.step_masks[place] for place in places),
            texts=tuple(self.texts[place] for place in places),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedChunk:
    """All that a claimed chunk became, to be committed at once."""

    claimed: ClaimedChunk
    policy_version: int
    attempts: tuple[Attempt, ...]
    ledger: tuple[LedgerEntry, ...]
    reused: int = 0
    """So many of the attempts were known from earlier runs: nobody was asked."""
    remaining: tuple[tuple[int, int], ...] = ()
    """(item_no, step mask) that an outage left unanswered: the chunk goes back to pending with these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a commit did. `accepted` is False when the fence was old: only the ledger was written."""

    accepted: bool
    notices: tuple[ChunkNotice, ...] = ()
    resumed: bool = False
    """These answers ended a pause of their pool."""
