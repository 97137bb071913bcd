"""What the store remembers of a run: its rows, mutable, read and written under the lock of `tables.Tables` only."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from pipeline.domain.answers import Plain
from pipeline.domain.audit import Audited
from pipeline.domain.budget import BROKE, Budget, charge
from pipeline.domain.decisions import Decision
from pipeline.domain.items import Item, RejectedRow
from pipeline.domain.job import Job
from pipeline.domain.ledger import LedgerEntry
from pipeline.domain.outcomes import Attempt
from pipeline.domain.pricing import PriceBook
from pipeline.domain.runs import WORKING_STATES, RunState
from pipeline.ports.store import RunRecord, Window


class ChunkState(Enum):
    """Where a chunk stands."""

    PENDING = "pending"
    CLAIMED = "claimed"
    DONE = "done"
    DEAD = "dead"
    """Given back too often."""
    CANCELLED = "cancelled"


_OPEN = frozenset({ChunkState.PENDING, ChunkState.CLAIMED})


@dataclass(slots=True, kw_only=True)
class ChunkRow:
    """A chunk; its lease counts only while it is claimed."""

    id: int
    run_id: int
    tier_no: int
    generation: int
    masks: Mapping[int, int]
    """Item number → mask of the steps to ask."""
    published_at: dt.datetime | None = None
    state: ChunkState = ChunkState.PENDING
    fence: int = 0
    claims: int = 0
    lease_until: dt.datetime | None = None
    claimed_by: str | None = None
    not_before: dt.datetime | None = None
    failure: str | None = None
    """Why it was given up last."""

    @property
    def open(self) -> bool:
        """Whether something is still to come from it."""
        return self.state in _OPEN

    def claimable(self, now: dt.datetime) -> bool:
        """Whether nobody holds it."""
        return self.state is ChunkState.PENDING or self.expired(now)

    def expired(self, now: dt.datetime) -> bool:
        """Whether it is held by somebody whose lease ran out."""
        return self.state is ChunkState.CLAIMED and self.lease_until is not None and self.lease_until <= now

    @property
    def announced(self) -> bool:
        """Whether it waits for a worker that was told of it."""
        return self.state is ChunkState.PENDING and self.published_at is not None

    @property
    def due(self) -> bool:
        """Whether it waits to be announced."""
        return self.state is ChunkState.PENDING and self.published_at is None

    def put_back(self, *, dead: bool = False) -> None:
        """Make it pending, or dead, and unannounced."""
        self.state = ChunkState.DEAD if dead else ChunkState.PENDING
        self.published_at = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """A valid row of the source."""

    item: Item
    copy_of: int | None
    """Item number of the first one with the same text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One answer, where it was given, and its part of the call's cost."""

    attempt: Attempt
    tier_no: int
    generation: int
    policy_version: int
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow:
    """The end of one (item, step): a verdict, or unresolved."""

    tier_no: int
    generation: int
    unresolved: bool
    uncertified: bool = False
    """It stands because there was no money for a better one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """A call, and where and when it was booked."""

    entry: LedgerEntry
    tier_no: int
    booked_at: dt.datetime


@dataclass(slots=True, kw_only=True)
class Waiting:
    """Escalations of one item that are not in a chunk yet."""

    mask: int
    since: dt.datetime


@dataclass(slots=True, kw_only=True)
class Pause:
    """A tier whose endpoint is down, for all runs; or one that has no money, for its run."""

    pool: str | None
    reason: str
    until: dt.datetime
    times: int


@dataclass(slots=True, kw_only=True)
class WindowRow:
    """A window that was drawn, and what was decided of it."""

    window: Window
    decision: Decision | None = None
    version: int | None = None
    audit: Audited | None = None


Place = tuple[int, int]
"""(item_no, step_no)."""
Group = tuple[int, int]
"""(tier_no, generation)."""


@dataclass(slots=True, kw_only=True)
class RunRow:
    """A run and everything that belongs to it but its chunks."""

    id: int
    name: str
    job: Job
    price_book: PriceBook
    prompt_digests: Mapping[str, str]
    created_at: dt.datetime
    state: RunState = RunState.INGESTING
    reason: str | None = None
    ended_at: dt.datetime | None = None
    rows_read: int = 0
    ingested: bool = False
    ingest_held: bool = False
    items: dict[int, ItemRow] = field(default_factory=dict)
    rejected: dict[int, RejectedRow] = field(default_factory=dict)
    forgotten: int = 0
    """Items that are there no more."""
    texts_erased_at: dt.datetime | None = None
    """Since it ended last."""
    first_of_text: dict[bytes, int] = field(default_factory=dict)
    text_of_key: dict[str, bytes] = field(default_factory=dict)
    attempts: dict[Place, dict[Group, AttemptRow]] = field(default_factory=dict)
    outcomes: dict[Place, OutcomeRow] = field(default_factory=dict)
    waiting: dict[Group, dict[int, Waiting]] = field(default_factory=dict)
    ledger: list[LedgerRow] = field(default_factory=list)
    pauses: dict[int, Pause] = field(default_factory=dict)
    windows: list[WindowRow] = field(default_factory=list)
    labels: dict[Place, Plain] = field(default_factory=dict)
    budget: Budget | None = None
    settled_usd: Decimal = Decimal(0)
    reserved: dict[tuple[int, int], Mapping[int, Decimal]] = field(default_factory=dict)
    """(chunk, fence) → item → the most that the claim may cost."""

    @property
    def working(self) -> bool:
        """Whether its chunks may be claimed."""
        return self.state in WORKING_STATES

    def record(self) -> RunRecord:
        """Return the run as the port shows it."""
        return RunRecord(
            id=self.id,
            name=self.name,
            job=self.job,
            price_book=self.price_book,
            prompt_digests=self.prompt_digests,
            state=self.state,
            reason=self.reason,
            rows_read=self.rows_read,
            ingested=self.ingested,
        )

    def book(self, entry: LedgerEntry, tier_no: int, now: dt.datetime) -> None:
        """Append a call to the ledger."""
        self.ledger.append(LedgerRow(entry=entry, tier_no=tier_no, booked_at=now))

    def take_waiting(self, group: Group, item_nos: Iterable[int]) -> list[tuple[int, int]]:
        """Take these items' escalations out of the waiting room, as (item_no, step mask)."""
        waiting = self.waiting[group]
        taken = [(item_no, waiting.pop(item_no).mask) for item_no in item_nos]
        if not waiting:
            del self.waiting[group]
        return taken

    def settle_call(self, place: tuple[int, int], costs: Sequence[Decimal | None]) -> None:
        """Settle what a claim had reserved at what its calls cost."""
        reserved = self.reserved.pop(place, {})
        self.settled_usd += charge(costs, reserved_usd=sum(reserved.values(), Decimal(0)))

    def forget_money_pauses(self) -> bool:
        """Let what waited for money be tried again; returns whether anything did."""
        waited = [tier_no for tier_no, pause in self.pauses.items() if pause.reason == BROKE]
        for tier_no in waited:
            del self.pauses[tier_no]
        return bool(waited)

    def work_again(self) -> None:
        """Take up a run that had ended."""
        self.state = RunState.RUNNING if self.ingested else RunState.INGESTING
        self.reason, self.ended_at, self.texts_erased_at = None, None, None

    def end(self, state: RunState, now: dt.datetime, reason: str | None = None) -> None:
        """Finish the run."""
        self.state, self.ended_at, self.reason = state, now, reason
