"""Money before it is spent: ports.money.MoneyStore."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from pipeline.adapters.memory.rows import ChunkRow, ChunkState, OutcomeRow, Pause, RunRow
from pipeline.adapters.memory.tables import Tables
from pipeline.domain.answers import Malformed
from pipeline.domain.budget import (
    BROKE,
    Budget,
    Funded,
    Spending,
    Unsettled,
    funded,
    over_cap_reason,
    spent_reason,
)
from pipeline.domain.job import steps_of
from pipeline.domain.runs import RunState
from pipeline.ports.chunks import ClaimedChunk

FOREVER = dt.datetime.max.replace(tzinfo=dt.UTC)


class MoneyPart:
    """What runs may spend."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def set_budget(self, run_id: int, budget: Budget) -> None:
        """Give a run a budget, or another one; a run that waited for money goes on."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            if run.budget is None:
                known = (row.entry.cost_usd for row in run.ledger)
                run.settled_usd = sum((cost for cost in known if cost is not None), Decimal(0))
            run.budget = budget
            if run.forget_money_pauses() and run.state is RunState.HELD:
                run.work_again()

    def spending(self, run_id: int) -> Spending | None:
        """Return where a run's money stands; None: it has no budget."""
        with self._tables.lock:
            return spending_of(self._tables, self._tables.run(run_id))

    def reserve(self, claimed: ClaimedChunk, costs: Sequence[Decimal]) -> Funded:
        """Reserve for as many of the first items as there is money for; sets aside what is over its own cap."""
        with self._tables.lock:
            run, place = self._tables.run(claimed.run_id), (claimed.chunk_id, claimed.fence)
            now = spending_of(self._tables, run)
            found = Funded(asked=tuple(range(len(costs))))
            if now is not None:
                spent = [self._spent(run, item_no) for item_no in claimed.item_nos[: len(costs)]]
                found = funded(now.budget, costs, spent, gone_usd=now.settled_usd + now.reserved_usd)
                if found.over_cap and _at_work(self._tables, place):
                    over = [(claimed.item_nos[one], spent[one], costs[one]) for one in found.over_cap]
                    self._set_aside(run, self._tables.chunks[claimed.chunk_id], now.budget, over)
            reserved = {claimed.item_nos[one]: costs[one] for one in found.asked}
            if sum(reserved.values()):
                run.reserved[place] = reserved
            return found

    def _spent(self, run: RunRow, item_no: int) -> Decimal | None:
        """Return what an item has cost, and what other claims on it may cost yet; None where a call did not say."""
        steps = range(len(run.job.steps))
        costs = [row.cost_usd for step_no in steps for row in run.attempts.get((item_no, step_no), {}).values()]
        known = [cost for cost in costs if cost is not None]
        held = (usd for place, usd in run.reserved.items() if _at_work(self._tables, place))
        elsewhere = sum((usd.get(item_no, Decimal(0)) for usd in held), Decimal(0))
        return sum(known, elsewhere) if len(known) == len(costs) else None

    def _set_aside(
        self, run: RunRow, chunk: ChunkRow, budget: Budget, over: Sequence[tuple[int, Decimal | None, Decimal]]
    ) -> None:
        """Take (item, cost so far, most of the next call) out of a chunk: answered as well as it is, or dead."""
        masks = {item_no: chunk.masks[item_no] for item_no, _, _ in over}
        left = {item_no: mask for item_no, mask in chunk.masks.items() if item_no not in masks}
        if budget.on_exhausted == "accept":
            masks = _without_answers(run, masks)
        if masks:
            wanted = [None if spent is None else spent + cost for item_no, spent, cost in over if item_no in masks]
            failure = over_cap_reason(budget.per_item_usd or Decimal(0), wanted)
            dead = self._tables.split(chunk, masks) if left else chunk
            dead.state, dead.failure, dead.claims, dead.masks = ChunkState.DEAD, failure, dead.claims - 1, masks
        elif not left:
            chunk.state = ChunkState.DONE
        if left:
            chunk.masks = left

    def out_of_money(self, claimed: ClaimedChunk) -> RunState:
        """Do what the run's budget says with a claimed chunk that there is no money for; returns the run's state."""
        with self._tables.lock:
            run, chunk = self._tables.run(claimed.run_id), self._tables.chunks[claimed.chunk_id]
            now = spending_of(self._tables, run)
            if now is None or not _at_work(self._tables, (claimed.chunk_id, claimed.fence)):
                return run.state
            if now.budget.on_exhausted == "stop":
                for one in self._tables.open_chunks(run.id):
                    one.state = ChunkState.CANCELLED
                run.end(RunState.CANCELLED, self._tables.clock.now(), spent_reason(run.name, now))
                return run.state
            if now.budget.on_exhausted == "accept" and _accepted(run, chunk):
                return run.state
            chunk.put_back()
            chunk.claims -= 1
            run.pauses[chunk.tier_no] = Pause(pool=None, reason=BROKE, until=FOREVER, times=1)
            return run.state


def _accepted(run: RunRow, chunk: ChunkRow) -> bool:
    """Let the best answers so far stand; returns whether each question of the chunk had one."""
    left = _without_answers(run, chunk.masks)
    if left:
        chunk.masks = left
    else:
        chunk.state = ChunkState.DONE
    return not left


def _without_answers(run: RunRow, masks: Mapping[int, int]) -> dict[int, int]:
    """Let the best answers so far of items and step masks stand; returns what has none."""
    left: dict[int, int] = {}
    for item_no, mask in masks.items():
        for step_no in steps_of(mask):
            rows = run.attempts.get((item_no, step_no), {}).values()
            good = [row for row in rows if not isinstance(row.attempt.given.answer, Malformed)]
            if not good:
                left[item_no] = left.get(item_no, 0) | 1 << step_no
                continue
            best = max(
                good,
                key=lambda row: (
                    -1.0 if row.attempt.confidence is None else row.attempt.confidence.value,
                    row.tier_no,
                    row.generation,
                ),
            )
            run.outcomes[item_no, step_no] = OutcomeRow(
                tier_no=best.tier_no, generation=best.generation, unresolved=False, uncertified=True
            )
    return left


def hold_for_money(tables: Tables, run: RunRow) -> bool:
    """Hold a run in which nothing is left to do but what there is no money for; returns whether it is held now."""
    broke = {tier_no for tier_no, pause in run.pauses.items() if pause.until == FOREVER}
    open_chunks = list(tables.open_chunks(run.id))
    if run.state is not RunState.RUNNING or not broke or {tier_no for tier_no, _ in run.waiting} - broke:
        return False
    if any(chunk.state is ChunkState.CLAIMED or chunk.tier_no not in broke for chunk in open_chunks):
        return False
    now = spending_of(tables, run)
    run.state, run.reason = RunState.HELD, BROKE if now is None else spent_reason(run.name, now)
    return True


def spending_of(tables: Tables, run: RunRow) -> Spending | None:
    """Return where a run's money stands; None: it has no budget."""
    if run.budget is None:
        return None
    return Spending(
        budget=run.budget,
        settled_usd=run.settled_usd,
        reserved_usd=sum((usd for one in run.reserved.values() for usd in one.values()), Decimal(0)),
        lost=unsettled_of(tables, [run]),
    )


def unsettled_of(tables: Tables, runs: Iterable[RunRow]) -> Unsettled:
    """Return the paid calls of these runs whose worker was lost."""
    lost = [one for run in runs for place, one in run.reserved.items() if not _at_work(tables, place)]
    return Unsettled(calls=len(lost), usd=sum((usd for one in lost for usd in one.values()), Decimal(0)))


def _at_work(tables: Tables, place: tuple[int, int]) -> bool:
    chunk_id, fence = place
    chunk = tables.chunks[chunk_id]
    return chunk.state is ChunkState.CLAIMED and chunk.fence == fence
