"""Pauses, settling, and what a sweep mends: the second half of ports.store.WorkStore."""

import datetime as dt
from collections.abc import Collection, Iterator, Sequence

from pipeline.adapters.memory.money import hold_for_money
from pipeline.adapters.memory.rows import ChunkRow, ChunkState, Group, Pause, RunRow
from pipeline.adapters.memory.tables import Tables
from pipeline.domain.dead import LOST_WORKER
from pipeline.domain.runs import RunState
from pipeline.ports.store import ChunkNotice, RunRecord

_MOST_DOUBLINGS = 30


class SweepPart:
    """What keeps chunks moving."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def pause_tier(self, run_id: int, tier_no: int, *, reason: str, first_s: float, longest_s: float) -> float:
        """Pause the pool of a tier: `first_s`, and twice as long each time in a row; returns for how many seconds."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            times = max((one.times for one in self._tables.pauses_of(run, tier_no) if one.pool), default=0) + 1
            for_s = min(first_s * 2.0 ** min(times - 1, _MOST_DOUBLINGS), longest_s)
            until = self._tables.clock.now() + dt.timedelta(seconds=for_s)
            tier = run.job.tiers[tier_no]
            for one in self._tables.runs.values():
                for number, other in enumerate(one.job.tiers):
                    waits_for_money = number in one.pauses and one.pauses[number].pool is None
                    if (one is run and number == tier_no) or (
                        one.working and not waits_for_money and other.falls_with(tier)
                    ):
                        one.pauses[number] = Pause(pool=other.pool, reason=reason, until=until, times=times)
            return for_s

    def settle(self, run_id: int) -> tuple[RunState, tuple[ChunkNotice, ...]]:
        """Send on what waits for a tier to which nothing more can come, and finish the run if nothing is open."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            if run.state is not RunState.RUNNING or hold_for_money(self._tables, run):
                return run.state, ()
            notices: list[ChunkNotice] = []
            for group in sorted(run.waiting):
                tier_no, _ = group
                if not any(chunk.tier_no < tier_no for chunk in self._tables.open_chunks(run_id)):
                    notices += self._send_on(run, group, list(run.waiting[group]))
            self._tables.finish_if_nothing_open(run)
            return run.state, tuple(notices)

    def active_runs(self) -> Sequence[RunRecord]:
        """Return the runs that are ingesting or running."""
        with self._tables.lock:
            return [run.record() for run in self._tables.runs.values() if run.working]

    def flush(self, run_id: int, *, older_than_s: float) -> tuple[ChunkNotice, ...]:
        """Make chunks, full or not, of all that waits for a tier where the oldest has waited this long."""
        with self._tables.lock:
            run, before = self._tables.run(run_id), self._ago(older_than_s)
            if not run.working:
                return ()
            notices: list[ChunkNotice] = []
            for group in sorted(run.waiting):
                if min(entry.since for entry in run.waiting[group].values()) <= before:
                    notices += self._send_on(run, group, list(run.waiting[group]))
            return tuple(notices)

    def workers(self) -> Sequence[str]:
        """Return the workers that hold chunks of active runs."""
        with self._tables.lock:
            held = (chunk for chunk in self._working_chunks() if chunk.state is ChunkState.CLAIMED)
            return sorted({chunk.claimed_by for chunk in held if chunk.claimed_by is not None})

    def take_back(self, *, dead_after: int, gone: Collection[str] = ()) -> int:
        """Put chunks whose lease ran out, or whose worker is gone, back to pending; returns how many."""
        with self._tables.lock:
            now = self._tables.clock.now()
            late = [
                chunk
                for chunk in self._working_chunks()
                if chunk.expired(now) or (chunk.state is ChunkState.CLAIMED and chunk.claimed_by in gone)
            ]
            for chunk in late:
                chunk.failure = LOST_WORKER
                self._tables.give_up(chunk, dead_after=dead_after)
            return len(late)

    def due(self, *, ahead: int, run_id: int | None = None, tier_no: int | None = None) -> Sequence[ChunkNotice]:
        """Take the chunks that are next to be announced, and mark them as announced."""
        with self._tables.lock:
            now, found = self._tables.clock.now(), list[ChunkNotice]()
            for run in [one for one in self._tables.runs.values() if one.working and run_id in {None, one.id}]:
                for number in range(len(run.job.tiers)) if tier_no is None else [tier_no]:
                    here = (one for one in self._tables.open_chunks(run.id) if one.tier_no == number and one.due)
                    waiting = [one for one in here if one.not_before is None or one.not_before <= now]
                    for chunk in waiting[: self._room(run, number, ahead)]:
                        chunk.published_at = now
                        found.append(self._tables.notice(chunk))
            return found

    def _room(self, run: RunRow, tier_no: int, ahead: int) -> int:
        """Return how many chunks of a tier may be announced now."""
        pauses = self._tables.pauses_of(run, tier_no)
        if not pauses:
            return max(0, ahead - self._tables.announced(run.id, tier_no))
        pool = run.job.tiers[tier_no].pool
        under_way = any(
            self._tables.notice(chunk).pool == pool and (chunk.state is ChunkState.CLAIMED or chunk.announced)
            for chunk in self._working_chunks()
        )
        over = all(pause.until <= self._tables.clock.now() for pause in pauses)
        return int(over and not under_way)

    def not_announced(self, chunk_ids: Sequence[int]) -> None:
        """Forget that these chunks were announced."""
        with self._tables.lock:
            for chunk_id in chunk_ids:
                chunk = self._tables.chunks.get(chunk_id)
                if chunk is not None and chunk.state is ChunkState.PENDING:
                    chunk.published_at = None

    def published_pending(self, *, pool: str, older_than_s: float) -> Sequence[ChunkNotice]:
        """Return chunks of a pool that were published this long ago and never claimed: on the queue, or lost."""
        with self._tables.lock:
            before = self._ago(older_than_s)
            notices = [
                self._tables.notice(chunk)
                for chunk in self._working_chunks()
                if chunk.announced and chunk.published_at is not None and chunk.published_at <= before
            ]
            return [notice for notice in notices if notice.pool == pool]

    def pools(self) -> Sequence[str]:
        """Return the pools in which active runs have chunks that are published and not claimed."""
        with self._tables.lock:
            return sorted({self._tables.notice(chunk).pool for chunk in self._working_chunks() if chunk.announced})

    def mark_published(self, chunk_ids: Sequence[int]) -> None:
        """Remember that these chunks were announced."""
        with self._tables.lock:
            for chunk_id in chunk_ids:
                chunk = self._tables.chunks.get(chunk_id)
                if chunk is not None and chunk.state is ChunkState.PENDING:
                    chunk.published_at = self._tables.clock.now()

    def _ago(self, seconds: float) -> dt.datetime:
        return self._tables.clock.now() - dt.timedelta(seconds=seconds)

    def _working_chunks(self) -> Iterator[ChunkRow]:
        return (chunk for chunk in self._tables.chunks.values() if self._tables.runs[chunk.run_id].working)

    def _send_on(self, run: RunRow, group: Group, item_nos: Sequence[int]) -> list[ChunkNotice]:
        return self._tables.make_chunks(run, group, run.take_waiting(group, item_nos))
