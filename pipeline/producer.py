"""Enqueue items from any Python service.

    from pipeline import Producer

    with Producer("support.toml", name="helpdesk-2026-11") as producer:
        producer.add({"ticket_id": "T-1", "subject": "Refund", "body": "Twice charged"})
        producer.add_many(rows)
    print(producer.run)

A producer's run is known by the job and the producer's `name`: the same two, in any process and on any day, add to the
same run. An item is durable when `add` or `add_many` returns, and adding it again (same key, same text) changes
nothing. Workers begin at once. When the `with` block ends without an exception, the run is closed and can end as done;
adding to it later opens it again.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.domain.items import Item, RejectedRow
from pipeline.domain.job import Job
from pipeline.domain.runs import FINAL_STATES
from pipeline.flow.announcing import announce
from pipeline.flow.ingest import new_run, opened_run, refuse_ended
from pipeline.ports.queue import Queue
from pipeline.ports.store import RunRecord, Store
from pipeline.settings import load_settings
from pipeline.wiring.fusing import fused_by_evidence
from pipeline.wiring.inputs import RowReader, job_from
from pipeline.wiring.lessons import with_lessons
from pipeline.wiring.parts import price_book_for, store_and_queue
from pipeline.wiring.servers import Role, servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """What became of the rows of one call."""

    items: int
    """New to the run."""
    known: int
    """There already, with the same key and text: nothing was added."""
    rejected: tuple[RejectedRow, ...]
    """No items: kept with the run and listed by `headrace rejects`."""


class Producer:
    """Adds items to a run. One producer is for one thread; any number of them may add to the same run at once."""

    def __init__(self, job: Job | str | Path, *, name: str) -> None:
        """Open the run of this job and name, making it if it is new.

        Servers are found as by the command line: HEADRACE_REDIS_URL and HEADRACE_DATABASE_URL, else a running
        `headrace up`, else embedded ones for as long as the producer is open.

        Raises ConfigError (a wrong job, a run that was cancelled or failed) and UnavailableError.
        """
        settings = load_settings()
        self._cleanup = contextlib.ExitStack()
        frozen = with_lessons(job, settings) if isinstance(job, Job) else job_from(Path(job), settings)
        with contextlib.ExitStack() as opening:
            found = opening.enter_context(servers(settings, Role.RUN))
            self._store, self._queue = self._opened(opening, found.redis_url, found.database_url)
            digest = hashlib.sha256(json.dumps(["producer", name]).encode()).hexdigest()
            fused = fused_by_evidence(frozen, settings)
            new = new_run(frozen, digest, price_book_for(settings), fused=fused)
            self._run, _ = opened_run(new, self._store)
            refuse_ended(self._run)
            self._cleanup = opening.pop_all()
        self._rows = RowReader(frozen, source=name)

    @staticmethod
    def _opened(opening: contextlib.ExitStack, redis_url: str, database_url: str) -> tuple[Store, Queue]:
        return opening.enter_context(store_and_queue(redis_url, database_url))

    @property
    def run(self) -> str:
        """Name of the run, for `headrace watch` and the like."""
        return self._run.name

    def add(self, row: Mapping[str, Any] | str) -> Produced:
        """Add one row: its columns, or its text for a job over `{text}`. A chunk of its own: prefer `add_many`."""
        return self.add_many([row])

    def add_many(self, rows: Iterable[Mapping[str, Any] | str]) -> Produced:
        """Add rows, durable when this returns.

        Raises UnavailableError when Postgres does not answer, ConfigError when the run was cancelled or failed.
        """
        parsed = [self._rows.read(number, row) for number, row in enumerate(rows, 1)]
        if not parsed:
            return Produced(items=0, known=0, rejected=())
        self._reopened()
        return self._stored(parsed)

    def _stored(self, parsed: Sequence[Item | RejectedRow]) -> Produced:
        added = self._store.add_new(self._run.id, parsed)
        if added.notices:
            announce(self._queue, self._store, self._run.id)
        conflicts = tuple(row for row in parsed if isinstance(row, RejectedRow))
        known = len(parsed) - added.items - added.rejected
        return Produced(items=added.items, known=known, rejected=conflicts + added.conflicts)

    def _reopened(self) -> None:
        run = self._store.run(self._run.id)
        if run.state in FINAL_STATES:
            refuse_ended(run)
        if run.ingested:
            self._store.reopen_ingest(self._run.id)

    def finish(self) -> RunRecord:
        """Say that nothing more comes for now: the run ends as done when all is answered."""
        self._store.finish_ingest(self._run.id)
        self._store.settle(self._run.id)
        announce(self._queue, self._store, self._run.id)
        return self._store.run(self._run.id)

    def close(self) -> None:
        """Give back connections; the run stays open for more."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        """Return the producer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the run, unless an exception ends the block, and close."""
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()
