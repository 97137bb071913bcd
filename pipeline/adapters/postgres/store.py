"""PostgresStore: the Store port, each method one function of this room."""

import contextlib
import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.postgres import (
    announcing,
    broken,
    certify,
    earlier,
    forgetting,
    ingest,
    keeping,
    labels,
    log_rows,
    log_search,
    logs,
    money,
    nights,
    orders,
    pacing,
    pauses,
    records,
    report,
    results,
    rows,
    sweep,
    windows,
    work,
)
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.seen import Seen
from pipeline.domain.answers import Plain
from pipeline.domain.audit import Audited
from pipeline.domain.budget import Budget, Funded, Spending
from pipeline.domain.certify import Drawing
from pipeline.domain.dead import DeadItem
from pipeline.domain.decisions import Decision
from pipeline.domain.forgetting import ErasedTexts, Forgotten
from pipeline.domain.items import Item, RejectedRow
from pipeline.domain.logs.batches import Batch, RowsOf
from pipeline.domain.logs.nights import Night
from pipeline.domain.pacing import Limits
from pipeline.domain.runs import Costs, ResultLine, RunProgress, RunState
from pipeline.ports.earlier import Known
from pipeline.ports.forgetting import BATCH_TEXTS
from pipeline.ports.labels import KeptLabels, NewLabel, ToLabel, Which
from pipeline.ports.logs import LogFile, Pattern, Place, Rate, StoredEvent, Wanted
from pipeline.ports.store import (
    Added,
    ChunkNotice,
    ClaimedChunk,
    Committed,
    Concluded,
    DrawnAnswer,
    HeldAnswers,
    JudgedChunk,
    LabelledAnswer,
    NewRun,
    RunRecord,
    Window,
)


class PostgresStore:
    """The truth about runs, in one Postgres. Safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Connect lazily; raises ConfigError for a URL that is none of Postgres."""
        self._database = Database(url)
        self._seen: dict[int, Seen] = {}
        """Of the runs that this store reads from their first row on."""

    def close(self) -> None:
        """Give back connections."""
        self._database.close()

    def open_run(self, new: NewRun) -> tuple[RunRecord, bool]:
        """See IngestStore."""
        return ingest.open_run(self._database, new)

    @contextlib.contextmanager
    def ingest_lock(self, run_id: int) -> Iterator[bool]:
        """See IngestStore."""
        with ingest.ingest_lock(self._database, run_id) as held:
            if held and self.run(run_id).rows_read == 0:
                self._seen[run_id] = Seen()
            try:
                yield held
            finally:
                if held:
                    self._seen.pop(run_id, None)

    def add_rows(self, run_id: int, new: Sequence[Item | RejectedRow], *, at: int, keyed: bool) -> Added:
        """See IngestStore."""
        return rows.add_rows(self._database, run_id, new, at=at, keyed=keyed, seen=self._seen.get(run_id))

    def add_new(self, run_id: int, new: Sequence[Item | RejectedRow]) -> Added:
        """See IngestStore."""
        return rows.add_new(self._database, run_id, new)

    def finish_ingest(self, run_id: int) -> None:
        """See IngestStore."""
        ingest.finish_ingest(self._database, run_id)
        self.settle(run_id)

    def reopen_ingest(self, run_id: int) -> None:
        """See IngestStore."""
        ingest.reopen_ingest(self._database, run_id)

    def run(self, run_id: int) -> RunRecord:
        """See WorkStore."""
        with self._database.begin() as connection:
            return records.fetch_run(connection, run_id)

    def earlier_runs(self, run_id: int, *, most: int) -> Sequence[RunRecord]:
        """See EarlierStore."""
        return earlier.earlier_runs(self._database, run_id, most=most)

    def answered_before(self, run_id: int, tier_no: int, texts: Sequence[str], *, model: str | None) -> Sequence[Known]:
        """See EarlierStore."""
        return earlier.answered_before(self._database, run_id, tier_no, texts, model=model)

    def claim(self, chunk_id: int, *, worker: str, lease_s: float) -> ClaimedChunk | None:
        """See WorkStore."""
        return work.claim(self._database, chunk_id, worker=worker, lease_s=lease_s)

    def renew(self, claimed: ClaimedChunk, *, lease_s: float) -> bool:
        """See WorkStore."""
        return work.renew(self._database, claimed, lease_s=lease_s)

    def commit(self, judged: JudgedChunk) -> Committed:
        """See WorkStore."""
        return work.commit(self._database, judged)

    def give_back(
        self, claimed: ClaimedChunk, *, dead_after: int | None = None, failure: str | None = None, wait_s: float = 0.0
    ) -> bool:
        """See WorkStore."""
        return broken.give_back(self._database, claimed, dead_after=dead_after, failure=failure, wait_s=wait_s)

    def set_budget(self, run_id: int, budget: Budget) -> None:
        """See MoneyStore."""
        money.set_budget(self._database, run_id, budget)

    def spending(self, run_id: int) -> Spending | None:
        """See MoneyStore."""
        return money.spending(self._database, run_id)

    def reserve(self, claimed: ClaimedChunk, costs: Sequence[Decimal]) -> Funded:
        """See MoneyStore."""
        return money.reserve(self._database, claimed, costs)

    def out_of_money(self, claimed: ClaimedChunk) -> RunState:
        """See MoneyStore."""
        return money.out_of_money(self._database, claimed)

    def pause(self, run_id: int) -> bool:
        """See ReportStore."""
        return orders.pause(self._database, run_id)

    def resume(self, run_id: int) -> bool:
        """See ReportStore."""
        return orders.resume(self._database, run_id)

    def dead(self, run_id: int) -> Sequence[DeadItem]:
        """See ReportStore."""
        return broken.dead(self._database, run_id)

    def requeue(self, run_id: int, item_nos: Collection[int] | None = None) -> int:
        """See ReportStore."""
        return broken.requeue(self._database, run_id, item_nos)

    def pause_tier(self, run_id: int, tier_no: int, *, reason: str, first_s: float, longest_s: float) -> float:
        """See WorkStore."""
        return pauses.pause_tier(self._database, run_id, tier_no, reason=reason, first_s=first_s, longest_s=longest_s)

    def settle(self, run_id: int) -> tuple[RunState, tuple[ChunkNotice, ...]]:
        """See WorkStore."""
        return sweep.settle(self._database, run_id)

    def active_runs(self) -> Sequence[RunRecord]:
        """See WorkStore."""
        return sweep.active_runs(self._database)

    def flush(self, run_id: int, *, older_than_s: float) -> tuple[ChunkNotice, ...]:
        """See WorkStore."""
        return sweep.flush(self._database, run_id, older_than_s=older_than_s)

    def take_turn(self, account: str, limits: Limits, tokens: int) -> float:
        """See TurnStore."""
        return pacing.take_turn(self._database, account, limits, tokens)

    def workers(self) -> Sequence[str]:
        """See WorkStore."""
        return sweep.workers(self._database)

    def take_back(self, *, dead_after: int, gone: Collection[str] = ()) -> int:
        """See WorkStore."""
        return sweep.take_back(self._database, dead_after=dead_after, gone=gone)

    def due(self, *, ahead: int, run_id: int | None = None, tier_no: int | None = None) -> Sequence[ChunkNotice]:
        """See WorkStore."""
        return announcing.due(self._database, ahead=ahead, run_id=run_id, tier_no=tier_no)

    def not_announced(self, chunk_ids: Sequence[int]) -> None:
        """See WorkStore."""
        announcing.not_announced(self._database, chunk_ids)

    def published_pending(self, *, pool: str, older_than_s: float) -> Sequence[ChunkNotice]:
        """See WorkStore."""
        return announcing.published_pending(self._database, pool=pool, older_than_s=older_than_s)

    def pools(self) -> Sequence[str]:
        """See WorkStore."""
        return announcing.pools(self._database)

    def mark_published(self, chunk_ids: Sequence[int]) -> None:
        """See WorkStore."""
        announcing.mark_published(self._database, chunk_ids)

    def windows(self, run_id: int) -> Sequence[Window]:
        """See CertifyStore."""
        return windows.windows(self._database, run_id)

    def held(self, run_id: int, window: Window) -> HeldAnswers:
        """See CertifyStore."""
        return windows.held(self._database, run_id, window)

    def held_values(self, run_id: int, window: Window) -> Sequence[Plain]:
        """See CertifyStore."""
        return windows.held_values(self._database, run_id, window)

    def answered(self, run_id: int, window: Window) -> NDArray[np.int64]:
        """See CertifyStore."""
        return windows.answered(self._database, run_id, window)

    def labelled_answers(self, run_id: int, window: Window) -> Sequence[LabelledAnswer]:
        """See CertifyStore."""
        return labels.labelled_answers(self._database, run_id, window)

    def wait(self, run_id: int, reason: str) -> bool:
        """See CertifyStore."""
        return certify.wait(self._database, run_id, reason)

    def hold_refused(self, run_id: int) -> bool:
        """See CertifyStore."""
        return certify.hold_refused(self._database, run_id)

    def to_label(self, run_id: int, which: Which) -> Iterator[ToLabel]:
        """See LabelStore."""
        return labels.to_label(self._database, run_id, which)

    def keep_labels(self, run_id: int, new: Sequence[NewLabel]) -> KeptLabels:
        """See LabelStore."""
        return labels.keep_labels(self._database, run_id, new)

    def log_lock(self, log: str) -> contextlib.AbstractContextManager[bool]:
        """See LogStore."""
        return logs.log_lock(self._database, log)

    def files(self, log: str, head: bytes) -> Sequence[LogFile]:
        """See LogStore."""
        return logs.files(self._database, log, head)

    @property
    def rows_of(self) -> RowsOf:
        """What makes rows of events: lines of COPY."""
        return log_rows.rows_of

    def add_events(
        self, log: str, file: LogFile | None, *, name: str, layout: str, place: Place, batch: Batch
    ) -> LogFile | None:
        """See LogStore."""
        return logs.add_events(self._database, log, file, name=name, layout=layout, place=place, batch=batch)

    def nights(self, log: str, *, limit: int) -> Sequence[Night]:
        """See LogStore."""
        return nights.nights(self._database, log, limit=limit)

    def add_night(self, night: Night) -> Night:
        """See LogStore."""
        return nights.add_night(self._database, night)

    def answers(self, log: str, asked_by: str | None) -> Mapping[str, Mapping[str, str]]:
        """See LogStore."""
        return nights.answers(self._database, log, asked_by)

    def add_answers(self, log: str, asked_by: str, answers: Mapping[str, Mapping[str, str]]) -> None:
        """See LogStore."""
        nights.add_answers(self._database, log, asked_by, answers)

    def patterns(self, log: str) -> Sequence[Pattern]:
        """See LogStore."""
        return logs.patterns(self._database, log)

    def rates(self, log: str, *, since: dt.datetime, until: dt.datetime) -> Sequence[Rate]:
        """See LogStore."""
        return logs.rates(self._database, log, since=since, until=until)

    def find(self, log: str, wanted: Wanted, *, limit: int | None) -> Iterator[StoredEvent]:
        """See LogStore."""
        return log_search.find(self._database, log, wanted, limit=limit)

    def latest(self, log: str, wanted: Wanted, *, limit: int) -> Sequence[StoredEvent]:
        """See LogStore."""
        return log_search.latest(self._database, log, wanted, limit=limit)

    def draw(
        self, run_id: int, window: Window, drawing: Drawing, item_nos: Sequence[int]
    ) -> tuple[ChunkNotice, ...] | None:
        """See CertifyStore."""
        return certify.draw(self._database, run_id, window, drawing, item_nos)

    def drawn_answers(self, run_id: int, window: Window) -> Sequence[DrawnAnswer]:
        """See CertifyStore."""
        return windows.drawn_answers(self._database, run_id, window)

    def conclude(
        self, run_id: int, window: Window, decision: Decision, *, hold: bool, audited: Collection[int] = ()
    ) -> tuple[ChunkNotice, ...] | None:
        """See CertifyStore."""
        return certify.conclude(self._database, run_id, window, decision, hold=hold, audited=audited)

    def audited_answers(self, run_id: int, window: Window) -> Sequence[DrawnAnswer]:
        """See CertifyStore."""
        return windows.audited_answers(self._database, run_id, window)

    def keep_audit(self, run_id: int, window: Window, audit: Audited) -> bool:
        """See CertifyStore."""
        return certify.keep_audit(self._database, run_id, window, audit)

    def concluded(self, run_id: int) -> Sequence[Concluded]:
        """See CertifyStore."""
        return windows.concluded(self._database, run_id)

    def find_run(self, name: str) -> RunRecord:
        """See ReportStore."""
        return report.find_run(self._database, name)

    def list_runs(self, *, limit: int = 50) -> Sequence[RunProgress]:
        """See ReportStore."""
        return report.list_runs(self._database, limit=limit)

    def progress(self, run_id: int) -> RunProgress:
        """See ReportStore."""
        return report.progress(self._database, run_id)

    def results(self, run_id: int) -> Iterator[ResultLine]:
        """See ReportStore."""
        return results.results(self._database, run_id)

    def rejected(self, run_id: int) -> Iterator[RejectedRow]:
        """See ReportStore."""
        return report.rejected(self._database, run_id)

    def costs(self, run_id: int | None, *, by: Sequence[str]) -> Costs:
        """See ReportStore."""
        return report.costs(self._database, run_id, by=by)

    def runs_with_key(self, key: str) -> Sequence[int]:
        """See ForgetStore."""
        return forgetting.runs_with_key(self._database, key)

    def forget(self, run_id: int, key: str, *, dry_run: bool = False) -> Forgotten:
        """See ForgetStore."""
        return forgetting.forget(self._database, run_id, key, dry_run=dry_run)

    def erase_texts(self, *, ended_for_s: float, limit: int = BATCH_TEXTS) -> ErasedTexts:
        """See ForgetStore."""
        return keeping.erase_texts(self._database, ended_for_s=ended_for_s, limit=limit)

    def vacuum(self) -> None:
        """See ForgetStore."""
        forgetting.vacuum(self._database)

    def retry(self, run_id: int, *, unresolved: bool) -> int:
        """See ReportStore."""
        return orders.retry(self._database, run_id, unresolved=unresolved)

    def cancel(self, run_id: int) -> int:
        """See ReportStore."""
        return orders.cancel(self._database, run_id)
