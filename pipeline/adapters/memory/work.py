"""Chunks from claim to commit: the first half of ports.store.WorkStore."""

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal

from pipeline.adapters.memory.rows import AttemptRow, ChunkRow, ChunkState, Group, OutcomeRow, RunRow, Waiting
from pipeline.adapters.memory.tables import Tables
from pipeline.domain.answers import Malformed, from_json, to_json
from pipeline.domain.attempt_costs import attempt_costs
from pipeline.domain.errors import ConservationError
from pipeline.domain.outcomes import Attempt, Escalation, Unresolved, Verdict
from pipeline.ports.store import ChunkNotice, ClaimedChunk, Committed, JudgedChunk, RunRecord


class WorkPart:
    """What a worker does with a chunk."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def run(self, run_id: int) -> RunRecord:
        """Return a run by its number; raises RunNotFound."""
        with self._tables.lock:
            return self._tables.run(run_id).record()

    def claim(self, chunk_id: int, *, worker: str, lease_s: float) -> ClaimedChunk | None:
        """Take a chunk that is pending or whose lease ran out; None when there is nothing to do."""
        with self._tables.lock:
            now = self._tables.clock.now()
            chunk = self._tables.chunks.get(chunk_id)
            if chunk is None or not chunk.claimable(now) or not self._tables.runs[chunk.run_id].working:
                return None
            run = self._tables.runs[chunk.run_id]
            if any(pause.until > now for pause in self._tables.pauses_of(run, chunk.tier_no)):
                chunk.put_back()
                return None
            chunk.state = ChunkState.CLAIMED
            chunk.claimed_by = worker
            chunk.fence += 1
            chunk.claims += 1
            chunk.lease_until = now + dt.timedelta(seconds=lease_s)
            return ClaimedChunk(
                chunk_id=chunk.id,
                run_id=run.id,
                tier_no=chunk.tier_no,
                generation=chunk.generation,
                fence=chunk.fence,
                claims=chunk.claims,
                item_nos=tuple(chunk.masks),
                step_masks=tuple(chunk.masks.values()),
                texts=tuple(run.items[item_no].item.text for item_no in chunk.masks),
                announced=self._tables.announced(run.id, chunk.tier_no),
            )

    def renew(self, claimed: ClaimedChunk, *, lease_s: float) -> bool:
        """Hold on to a claim; False when it was lost to another."""
        with self._tables.lock:
            chunk = self._held(claimed)
            if chunk is None:
                return False
            chunk.lease_until = self._tables.clock.now() + dt.timedelta(seconds=lease_s)
            return True

    def commit(self, judged: JudgedChunk) -> Committed:
        """Record attempts, verdicts, ledger and escalations at once, if the fence still holds."""
        with self._tables.lock:
            run = self._tables.run(judged.claimed.run_id)
            chunk = self._held(judged.claimed)
            place = (judged.claimed.chunk_id, judged.claimed.fence)
            if chunk is None:
                run.settle_call(place, self._book(run, judged, refused=True))
                return Committed(accepted=False)
            _refuse_doubles(run, judged)
            run.settle_call(place, self._book(run, judged, refused=False))
            touched = self._record(run, judged)
            resumed = len(judged.attempts) > judged.reused and self._tables.end_pauses(run, chunk.tier_no)
            chunk.masks = dict(sorted(judged.remaining))
            if judged.remaining:
                chunk.put_back()
            else:
                chunk.state = ChunkState.DONE
            notices = self._full_chunks(run, touched)
            return Committed(accepted=True, notices=notices if run.working else (), resumed=resumed)

    def give_back(
        self, claimed: ClaimedChunk, *, dead_after: int | None = None, failure: str | None = None, wait_s: float = 0.0
    ) -> bool:
        """Put a claimed chunk back to pending and unpublished, or its halves, or mark it dead after so many claims.

        Without `dead_after` the claim does not count. The run goes on with its other chunks; `settle` calls it failed
        when nothing else is open.
        """
        with self._tables.lock:
            chunk = self._held(claimed)
            if chunk is None:
                return False
            chunk.failure = failure or chunk.failure
            chunk.not_before = self._tables.clock.now() + dt.timedelta(seconds=wait_s)
            if dead_after is not None:
                return self._tables.give_up(chunk, dead_after=dead_after)
            self._tables.run(claimed.run_id).settle_call((claimed.chunk_id, claimed.fence), ())
            chunk.put_back()
            chunk.claims -= 1
            return False

    def _held(self, claimed: ClaimedChunk) -> ChunkRow | None:
        """Return the chunk if this claim on it still stands."""
        chunk = self._tables.chunks[claimed.chunk_id]
        return chunk if chunk.state is ChunkState.CLAIMED and chunk.fence == claimed.fence else None

    def _book(self, run: RunRow, judged: JudgedChunk, *, refused: bool) -> list[Decimal | None]:
        """Write the ledger; returns the costs that were not booked already."""
        new = [entry for entry in judged.ledger if entry.call.id not in self._tables.booked_calls]
        for entry in new:
            self._tables.booked_calls.add(entry.call.id)
            run.book(replace(entry, refused=refused), judged.claimed.tier_no, self._tables.clock.now())
        return [entry.cost_usd for entry in new]

    def _record(self, run: RunRow, judged: JudgedChunk) -> set[Group]:
        """Write attempts, outcomes and escalations; return the groups in which escalations wait now."""
        place_of_chunk = (judged.claimed.tier_no, judged.claimed.generation)
        costs = attempt_costs(judged.attempts, judged.ledger)
        touched: set[Group] = set()
        for attempt, cost_usd in zip(judged.attempts, costs, strict=True):
            place = (attempt.item_no, attempt.step_no)
            run.attempts.setdefault(place, {})[place_of_chunk] = AttemptRow(
                attempt=_as_stored(attempt),
                tier_no=judged.claimed.tier_no,
                generation=judged.claimed.generation,
                policy_version=judged.policy_version,
                cost_usd=cost_usd,
            )
            if isinstance(attempt.outcome, Escalation):
                group = (attempt.outcome.to_tier, judged.claimed.generation)
                self._wait(run, group, attempt)
                touched.add(group)
            elif isinstance(attempt.outcome, Verdict | Unresolved):
                run.outcomes[place] = OutcomeRow(
                    tier_no=judged.claimed.tier_no,
                    generation=judged.claimed.generation,
                    unresolved=isinstance(attempt.outcome, Unresolved),
                )
        return touched

    def _wait(self, run: RunRow, group: Group, attempt: Attempt) -> None:
        waiting = run.waiting.setdefault(group, {})
        entry = waiting.setdefault(attempt.item_no, Waiting(mask=0, since=self._tables.clock.now()))
        entry.mask |= 1 << attempt.step_no

    def _full_chunks(self, run: RunRow, touched: set[Group]) -> tuple[ChunkNotice, ...]:
        notices: list[ChunkNotice] = []
        for group in sorted(touched):
            size = run.job.tiers[group[0]].chunk_items
            whole = len(run.waiting[group]) // size * size
            taken = run.take_waiting(group, list(run.waiting[group])[:whole])
            notices += self._tables.make_chunks(run, group, taken)
        return tuple(notices)


def _refuse_doubles(run: RunRow, judged: JudgedChunk) -> None:
    """Raise ConservationError, before anything is written, when an (item, step) would be answered twice."""
    here = (judged.claimed.tier_no, judged.claimed.generation)
    places = [(attempt.item_no, attempt.step_no) for attempt in judged.attempts]
    decided = sum(
        (attempt.item_no, attempt.step_no) in run.outcomes
        for attempt in judged.attempts
        if isinstance(attempt.outcome, Verdict | Unresolved)
    )
    asked = sum(here in run.attempts.get(place, {}) for place in places)
    doubled = decided + asked + len(places) - len(set(places))
    if doubled:
        raise ConservationError(
            f"{doubled} answers of chunk {judged.claimed.chunk_id} are there already: a bug, nothing was written"
        )


def _as_stored(attempt: Attempt) -> Attempt:
    """Send the answer through its stored form, as the real store does."""
    answer = attempt.given.answer
    if isinstance(answer, Malformed):
        return attempt
    return replace(attempt, given=replace(attempt.given, answer=from_json(json.loads(json.dumps(to_json(answer))))))
