"""All rows of all runs under one lock, and the few rules that all faces of the store share."""

import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pipeline.adapters.memory.rows import ChunkRow, ChunkState, Group, Pause, RunRow
from pipeline.domain.budget import OVER_CAP
from pipeline.domain.dead import FEW_OPEN, TRIES_OF_A_HALF, dead_reason
from pipeline.domain.errors import ConservationError, RunNotFound
from pipeline.domain.outcomes import Held
from pipeline.domain.pacing import Turns
from pipeline.domain.runs import RunState
from pipeline.ports.clock import Clock
from pipeline.ports.store import ChunkNotice


class Tables:
    """All rows of all runs. Whoever reads or writes them holds `lock`."""

    def __init__(self, clock: Clock) -> None:
        """Begin empty."""
        self.lock = threading.RLock()
        self.clock = clock
        self.runs: dict[int, RunRow] = {}
        self.run_of_identity: dict[tuple[str, str, str], int] = {}
        self.chunks: dict[int, ChunkRow] = {}
        self.booked_calls: set[object] = set()
        self.turns: dict[str, Turns] = {}
        self._chunk_ids = itertools.count(1)

    def run(self, run_id: int) -> RunRow:
        """Return a run; raises RunNotFound."""
        if run_id not in self.runs:
            raise RunNotFound(f"there is no run number {run_id}; `headrace status` lists the runs")
        return self.runs[run_id]

    def open_chunks(self, run_id: int) -> Iterator[ChunkRow]:
        """Yield a run's chunks from which something is still to come."""
        return (chunk for chunk in self.chunks.values() if chunk.run_id == run_id and chunk.open)

    def dead_chunks(self, run_id: int) -> list[ChunkRow]:
        """Return a run's chunks that broke their workers too often."""
        return [one for one in self.chunks.values() if one.run_id == run_id and one.state is ChunkState.DEAD]

    def pauses_of(self, run: RunRow, tier_no: int) -> list[Pause]:
        """Return what holds a tier of a run up: a pause of its pool, or its own."""
        pool = run.job.tiers[tier_no].pool
        own = [pause for number, pause in run.pauses.items() if number == tier_no]
        others = [pause for one in self.runs.values() if one is not run for pause in one.pauses.values()]
        return own + [pause for pause in others if pause.pool == pool]

    def end_pauses(self, run: RunRow, tier_no: int) -> bool:
        """End the pauses of a tier's pool and of all that fell with it; returns whether it was paused."""
        tier, some = run.job.tiers[tier_no], bool(self.pauses_of(run, tier_no))
        for one in self.runs.values():
            for number, pause in list(one.pauses.items()):
                fell = pause.pool is not None and one.job.tiers[number].falls_with(tier)
                if fell or (one is run and number == tier_no):
                    del one.pauses[number]
        return some

    def announced(self, run_id: int, tier_no: int) -> int:
        """Count the chunks of a tier that stand announced and that nobody has claimed."""
        here = (chunk for chunk in self.chunks.values() if (chunk.run_id, chunk.tier_no) == (run_id, tier_no))
        return sum(chunk.announced for chunk in here)

    def notice(self, chunk: ChunkRow) -> ChunkNotice:
        """Return what announces a chunk."""
        run = self.runs[chunk.run_id]
        tier = run.job.tiers[chunk.tier_no]
        return ChunkNotice(chunk_id=chunk.id, run_name=run.name, tier=tier.name, pool=tier.pool, items=len(chunk.masks))

    def make_chunks(self, run: RunRow, group: Group, masks: Iterable[tuple[int, int]]) -> list[ChunkNotice]:
        """Store (item_no, step mask) pairs as chunks of the tier's size, the last one perhaps smaller."""
        tier_no, generation = group
        size, pairs = run.job.tiers[tier_no].chunk_items, list(masks)
        notices = []
        for start in range(0, len(pairs), size):
            chunk = ChunkRow(
                id=next(self._chunk_ids),
                run_id=run.id,
                tier_no=tier_no,
                generation=generation,
                masks=dict(sorted(pairs[start : start + size])),
            )
            self.chunks[chunk.id] = chunk
            notices.append(self.notice(chunk))
        return notices

    def split(self, chunk: ChunkRow, masks: Mapping[int, int]) -> ChunkRow:
        """Make another chunk like one, of these items, that was never claimed; the caller takes them out of it."""
        other = replace(chunk, id=next(self._chunk_ids), masks=masks, claims=1, fence=0)
        self.chunks[other.id] = other
        return other

    def give_up(self, chunk: ChunkRow, *, dead_after: int) -> bool:
        """Put a chunk back that broke its worker, or its halves; returns whether it is dead now."""
        if chunk.claims < dead_after:
            chunk.put_back()
            return False
        here = [one for one in self.chunks.values() if (one.run_id, one.tier_no) == (chunk.run_id, chunk.tier_no)]
        some_done = any(one.state is ChunkState.DONE for one in here)
        if len(chunk.masks) == 1 or not (some_done or sum(one.open for one in here) <= FEW_OPEN):
            chunk.put_back(dead=True)
            return True
        masks, half = list(chunk.masks.items()), len(chunk.masks) // 2
        claims = max(0, dead_after - TRIES_OF_A_HALF)
        rest = self.split(chunk, dict(masks[half:]))
        chunk.masks, chunk.claims, rest.claims = dict(masks[:half]), claims, claims
        for one in (chunk, rest):
            one.put_back()
        return False

    def finish_if_nothing_open(self, run: RunRow) -> None:
        """End a fully read run: done when all its outcomes are there, failed when a chunk is dead.

        Raises ConservationError, and the run is failed, when an outcome is missing or too many.
        """
        if run.state is not RunState.RUNNING or run.waiting or any(self.open_chunks(run.id)):
            return
        canonical = sum(row.copy_of is None for row in run.items.values())
        dead = sum(len(chunk.masks) for chunk in self.dead_chunks(run.id))
        if dead:
            broke = [one for one in self.dead_chunks(run.id) if (one.failure or "").startswith(OVER_CAP)]
            reason = dead_reason(run.name, dead, over_cap=sum(len(one.masks) for one in broke))
            run.end(RunState.FAILED, self.clock.now(), reason)
            return
        if any(isinstance(row.attempt.outcome, Held) for rows in run.attempts.values() for row in rows.values()):
            return  # what is held waits for its certificate
        due, given = canonical * len(run.job.steps), len(run.outcomes)
        if due == given:
            run.end(RunState.DONE, self.clock.now())
            return
        reason = f"{due} outcomes are due and {given} were given: an item was dropped or doubled"
        run.end(RunState.FAILED, self.clock.now(), reason)
        raise ConservationError(f"run {run.name}: {reason}; this is a bug, please report it")
