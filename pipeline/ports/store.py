"""Store: Postgres as the flow sees it. The truth about runs, items, chunks, answers and money lives behind it.

Ten faces, for who needs what: `IngestStore` (rows in), `WorkStore` (chunks claimed, committed, swept and published),
`MoneyStore` (money reserved before it is spent), `TurnStore` (rate limits), `CertifyStore` (held answers, from drawing
to thresholds), `LabelStore` (what people say is right), `LogStore` (events of log files), `ForgetStore` (what is
erased), `EarlierStore` (what earlier runs answered) and `ReportStore` (what people read and order). One adapter
fulfils all.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.answers import Plain
from pipeline.domain.audit import Audited
from pipeline.domain.certify import Certificate, Drawing, Refusal
from pipeline.domain.dead import DeadItem
from pipeline.domain.items import Item, RejectedRow
from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.domain.runs import CostRow, Costs, ResultLine, RunProgress, RunState
from pipeline.ports.chunks import ChunkNotice, ClaimedChunk, Committed, JudgedChunk
from pipeline.ports.earlier import EarlierStore
from pipeline.ports.forgetting import ForgetStore
from pipeline.ports.labels import LabelStore
from pipeline.ports.logs import LogStore
from pipeline.ports.money import MoneyStore
from pipeline.ports.pacing import TurnStore
from pipeline.ports.promises import Concluded, DrawnAnswer, HeldAnswers, LabelledAnswer, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What makes a run: its identity is job name + job digest + source digest."""

    name: str
    job: Job
    source_digest: str
    price_book: PriceBook
    prompt_digests: Mapping[str, str]
    """tier/step → digest of the words it is asked in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as stored."""

    id: int
    name: str
    job: Job
    price_book: PriceBook
    prompt_digests: Mapping[str, str]
    """tier/step → digest of the words it is asked in, as frozen when the run was made."""
    state: RunState
    reason: str | None
    rows_read: int
    """Rows of the source that are stored: where an interrupted ingest goes on."""
    ingested: bool
    """The source was read to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of a batch of rows."""

    items: int
    duplicates: int
    """Among `items`: those whose text the run knew already."""
    rejected: int
    notices: tuple[ChunkNotice, ...]
    conflicts: tuple[RejectedRow, ...] = ()
    """Among `rejected`: items whose key the run knew with another text."""


class IngestStore(Protocol):
    """Rows in. Every batch is one transaction that also moves `rows_read`, so that a crash repeats or loses nothing."""

    def open_run(self, new: NewRun) -> tuple[RunRecord, bool]:
        """Return the run of this identity, in whatever state, and whether it was made just now."""
        ...

    def ingest_lock(self, run_id: int) -> AbstractContextManager[bool]:
        """Hold the right to add rows; yields False at once when another process holds it. Ends with the process."""
        ...

    def add_rows(self, run_id: int, rows: Sequence[Item | RejectedRow], *, at: int, keyed: bool) -> Added:
        """Store rows number `at`, `at`+1, … of the source, and the first tiers' chunks, unless they are there already.

        An item whose text the run knows is stored as a copy and not asked. With `keyed`, an item whose key the run
        knows with another text is stored as a RejectedRow (KEY_CONFLICT). Raises ConservationError when `at` is
        beyond `rows_read`.
        """
        ...

    def add_new(self, run_id: int, rows: Sequence[Item | RejectedRow]) -> Added:
        """Append rows that come from code; an item whose key the run knows with the same text is left out.

        Any number of processes may do so at once; a batch is one transaction.
        """
        ...

    def finish_ingest(self, run_id: int) -> None:
        """Say that the source was read to its end; the run is `running`, or `done` at once if nothing is open."""
        ...

    def reopen_ingest(self, run_id: int) -> None:
        """Let a producer add to a run whose ingest was finished."""
        ...


class WorkStore(Protocol):
    """Chunks, from claim to commit, and what a sweep mends."""

    def run(self, run_id: int) -> RunRecord:
        """Return a run by its number; raises RunNotFound."""
        ...

    def earlier_runs(self, run_id: int, *, most: int) -> Sequence[RunRecord]:
        """Return the runs of the same job's name that were made before this one, the latest first."""
        ...

    def claim(self, chunk_id: int, *, worker: str, lease_s: float) -> ClaimedChunk | None:
        """Take a chunk that is pending or whose lease ran out, and read its texts.

        Returns None when there is nothing to do: done, claimed by another, its run not at work, or its pool paused (the
        chunk then counts as unannounced).
        """
        ...

    def renew(self, claimed: ClaimedChunk, *, lease_s: float) -> bool:
        """Hold on to a claim; False when it was lost to another."""
        ...

    def commit(self, judged: JudgedChunk) -> Committed:
        """Record attempts, verdicts, ledger and escalations in one transaction, if the fence still holds.

        Full chunks of the next tiers are made in the same transaction and returned to be published. Answers end a
        pause of their tier.
        """
        ...

    def give_back(
        self, claimed: ClaimedChunk, *, dead_after: int | None = None, failure: str | None = None, wait_s: float = 0.0
    ) -> bool:
        """Put a claimed chunk back to pending and unannounced; with `dead_after` claims it is halved, or dead, instead.

        Its next try waits for `wait_s`, up to a minute: what broke it may be over then.

        Halves are tried TRIES_OF_A_HALF times each; a chunk of one item is not halved, and neither is one of a tier
        that has never done any while more than FEW_OPEN are open: then something else is broken than an item.
        `failure` says why, for people, without a word of the items.
        Without `dead_after` (an outage, not the chunk's fault) the claim does not count. Returns whether it is dead now
        (its run then fails with a reason, once nothing else is open).
        """
        ...

    def pause_tier(self, run_id: int, tier_no: int, *, reason: str, first_s: float, longest_s: float) -> float:
        """Pause the pool of a tier, for all runs: `first_s`, and twice as long each time in a row; returns the seconds.

        With it the pools of all other tiers of runs at work that ask the same account at an endpoint. A commit with
        answers of such a pool, of any run, ends the pauses and the row.
        """
        ...

    def settle(self, run_id: int) -> tuple[RunState, tuple[ChunkNotice, ...]]:
        """Send on what waits for a tier to which nothing more can come, and finish the run if nothing is open.

        Before a run is called done its outcomes are counted against its items; ConservationError if they differ, and
        the run is marked failed.
        """
        ...

    def active_runs(self) -> Sequence[RunRecord]:
        """Return the runs that are ingesting or running."""
        ...

    def flush(self, run_id: int, *, older_than_s: float) -> tuple[ChunkNotice, ...]:
        """Make chunks, full or not, of the escalations that have waited this long."""
        ...

    def workers(self) -> Sequence[str]:
        """Return the workers that hold chunks of active runs."""
        ...

    def take_back(self, *, dead_after: int, gone: Collection[str] = ()) -> int:
        """Put chunks whose lease ran out, or whose worker is `gone`, back to pending and unannounced; returns how many.

        After `dead_after` claims they are halved, or dead, instead, as in `give_back`.
        """
        ...

    def due(self, *, ahead: int, run_id: int | None = None, tier_no: int | None = None) -> Sequence[ChunkNotice]:
        """Take the chunks that are next to be announced, of a run (or a tier of it) or of all, and mark them so.

        Of each tier of a run as many as make `ahead` that stand announced and unclaimed, the oldest first: runs that
        share workers take turns, and the queue stays short. Of a paused pool none; of one whose pause is over a single
        chunk, as a probe, while nothing else of it is under way.
        """
        ...

    def not_announced(self, chunk_ids: Sequence[int]) -> None:
        """Forget that these chunks were announced: they could not be."""
        ...

    def published_pending(self, *, pool: str, older_than_s: float) -> Sequence[ChunkNotice]:
        """Return chunks of a pool that were published this long ago and never claimed: on the queue, or lost."""
        ...

    def pools(self) -> Sequence[str]:
        """Return the pools in which active runs have chunks that are published and not claimed."""
        ...

    def mark_published(self, chunk_ids: Sequence[int]) -> None:
        """Remember that these chunks were announced."""
        ...


class CertifyStore(Protocol):
    """Held answers, from drawing to thresholds. Each act is one transaction; done twice it is done once."""

    def windows(self, run_id: int) -> Sequence[Window]:
        """Return, for each step with held answers, the window that is next to be drawn or decided.

        Empty unless the run is at rest: its source read, nothing open, nothing waiting.
        """
        ...

    def held(self, run_id: int, window: Window) -> HeldAnswers:
        """Return a window's held answers."""
        ...

    def held_values(self, run_id: int, window: Window) -> Sequence[Plain]:
        """Return what a window's held answers say, in the order of `held`."""
        ...

    def answered(self, run_id: int, window: Window) -> NDArray[np.int64]:
        """Return the numbers of a window's items that have an answer, held or standing, in their order."""
        ...

    def draw(
        self, run_id: int, window: Window, drawing: Drawing, item_nos: Sequence[int]
    ) -> tuple[ChunkNotice, ...] | None:
        """Draw these items and send the held ones among them to the last tier; None where the window was drawn."""
        ...

    def labelled_answers(self, run_id: int, window: Window) -> Sequence[LabelledAnswer]:
        """Return what tiers and people say of a window's drawn items, in the order of their numbers."""
        ...

    def wait(self, run_id: int, reason: str) -> bool:
        """Hold a run that is at rest until somebody does what the reason says; returns whether it was running."""
        ...

    def hold_refused(self, run_id: int) -> bool:
        """Hold a run at rest again in which a refused promise keeps answers back; returns whether there was one."""
        ...

    def drawn_answers(self, run_id: int, window: Window) -> Sequence[DrawnAnswer]:
        """Return what was found of a window's drawn items, in the order of their numbers."""
        ...

    def conclude(
        self,
        run_id: int,
        window: Window,
        decision: Certificate | Refusal,
        *,
        hold: bool,
        audited: Collection[int] = (),
    ) -> tuple[ChunkNotice, ...] | None:
        """Make a PolicyVersion of a decision: held answers above its thresholds stand, all others go to the reference.

        So do the `audited` ones (item numbers), which would stand.

        With `hold` a refused window's answers stay held, and the run waits for a person (`retry` lets them go up).
        None where the window is decided already.
        """
        ...

    def concluded(self, run_id: int) -> Sequence[Concluded]:
        """Return the windows that were decided, in the order of their versions."""
        ...

    def audited_answers(self, run_id: int, window: Window) -> Sequence[DrawnAnswer]:
        """Return what was found of a window's audited items, in the order of their numbers."""
        ...

    def keep_audit(self, run_id: int, window: Window, audit: Audited) -> bool:
        """Keep what the audit of a decided window came to; returns whether this was the first."""
        ...


class ReportStore(Protocol):
    """What people read and order."""

    def find_run(self, name: str) -> RunRecord:
        """Return the run of this name, or the latest whose name begins so, or `last`; raises RunNotFound."""
        ...

    def list_runs(self, *, limit: int = 50) -> Sequence[RunProgress]:
        """Return the latest runs first."""
        ...

    def progress(self, run_id: int) -> RunProgress:
        """Count a run: items, verdicts by step and tier, costs, copies included."""
        ...

    def results(self, run_id: int) -> Iterator[ResultLine]:
        """Yield one line per valid row, in the source's order, copies included, in flat memory."""
        ...

    def rejected(self, run_id: int) -> Iterator[RejectedRow]:
        """Yield the rejected rows in the source's order."""
        ...

    def costs(self, run_id: int | None, *, by: Sequence[str]) -> Costs:
        """Return calls, tokens, seconds and cost grouped by any of step, tier, model, day; one run or all."""
        ...

    def retry(self, run_id: int, *, unresolved: bool) -> int:
        """Put cancelled and dead chunks back to pending and, if asked, ask the unresolved again at their top tier.

        What a refused promise held back goes to the top tier. Returns how many (item, step) are asked again; unresolved
        ones whose text is erased stay as they are. Raises ConfigError where erased texts are all there is, or what was
        stopped cannot be asked without one.
        """
        ...

    def dead(self, run_id: int) -> Sequence[DeadItem]:
        """Return the dead letters of a run, in the order of its items."""
        ...

    def requeue(self, run_id: int, item_nos: Collection[int] | None = None) -> int:
        """Put dead chunks that hold one of these items (None: all) back to pending, and their run to work.

        Returns how many (item, step) are asked again. Raises ConfigError where the text of one is erased.
        """
        ...

    def pause(self, run_id: int) -> bool:
        """Hold a run that is at work until `resume`; what is being answered is kept. Returns whether it was at work."""
        ...

    def resume(self, run_id: int) -> bool:
        """Let a run go on that was paused by hand; returns whether it was."""
        ...

    def cancel(self, run_id: int) -> int:
        """Stop a run: open chunks are cancelled, what was answered stays. Returns how many chunks were open."""
        ...


class Store(
    IngestStore,
    WorkStore,
    MoneyStore,
    TurnStore,
    CertifyStore,
    LabelStore,
    LogStore,
    ForgetStore,
    EarlierStore,
    ReportStore,
    Protocol,
):
    """All faces."""

    def close(self) -> None:
        """Give back connections."""
        ...


__all__ = [
    "Added",
    "CertifyStore",
    "ChunkNotice",
    "ClaimedChunk",
    "Committed",
    "Concluded",
    "CostRow",
    "DrawnAnswer",
    "HeldAnswers",
    "IngestStore",
    "JudgedChunk",
    "LabelledAnswer",
    "NewRun",
    "ReportStore",
    "RunRecord",
    "Store",
    "Window",
    "WorkStore",
]
