"""What people order: cancel and retry, the active half of ports.store.ReportStore."""

from collections.abc import Collection, Sequence

from pipeline.adapters.memory.certify import CertifyPart
from pipeline.adapters.memory.forgetting import refuse_erased
from pipeline.adapters.memory.rows import ChunkState, Group, RunRow
from pipeline.adapters.memory.tables import Tables
from pipeline.domain.dead import LOST_WORKER, DeadItem
from pipeline.domain.errors import ConfigError
from pipeline.domain.forgetting import texts_gone
from pipeline.domain.job import steps_of
from pipeline.domain.runs import ENDED_STATES, FINAL_STATES, PAUSED_BY_HAND, RunState


class OrderPart:
    """Runs stopped and taken up again."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def cancel(self, run_id: int) -> int:
        """Stop a run: open chunks are cancelled, what was answered stays. Returns how many chunks were open."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            if run.state in FINAL_STATES:
                return 0
            opened = list(self._tables.open_chunks(run_id))
            for chunk in opened:
                chunk.state = ChunkState.CANCELLED
            run.end(RunState.CANCELLED, self._tables.clock.now())
            return len(opened)

    def pause(self, run_id: int) -> bool:
        """Hold a run that is at work; returns whether it was."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            if not run.working:
                return False
            run.state, run.reason = RunState.HELD, f"{PAUSED_BY_HAND} {run.name}"
            return True

    def resume(self, run_id: int) -> bool:
        """Let a run go on that was paused by hand; returns whether it was."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            if run.state is not RunState.HELD or not (run.reason or "").startswith(PAUSED_BY_HAND):
                return False
            run.work_again()
            return True

    def retry(self, run_id: int, *, unresolved: bool) -> int:
        """Put cancelled and dead chunks back to pending and, if asked, ask the unresolved again at their top tier."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            refuse_erased(self._tables, run)
            asked = self._revive(run) + (self._ask_unresolved(run) if unresolved else 0)
            if unresolved and not asked and any(one.unresolved or one.uncertified for one in run.outcomes.values()):
                raise ConfigError(texts_gone(run.name))
            asked += CertifyPart(self._tables).release(run)
            run.forget_money_pauses()
            if run.state in ENDED_STATES and (asked or run.state is not RunState.DONE):
                run.work_again()
            return asked

    def dead(self, run_id: int) -> Sequence[DeadItem]:
        """Return the dead letters of a run, in the order of its items."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            found = [(no, mask, one) for one in self._tables.dead_chunks(run_id) for no, mask in one.masks.items()]
            return [
                DeadItem(
                    run=run.name,
                    item_no=item_no,
                    key=run.items[item_no].item.key,
                    source=run.items[item_no].item.source,
                    line=run.items[item_no].item.line,
                    steps=tuple(run.job.steps[number].name for number in steps_of(mask)),
                    tier=run.job.tiers[chunk.tier_no].name,
                    chunk=chunk.id,
                    with_others=len(chunk.masks) - 1,
                    claims=chunk.claims,
                    reason=chunk.failure or LOST_WORKER,
                    text=run.items[item_no].item.text,
                )
                for item_no, mask, chunk in sorted(found, key=lambda one: (one[0], one[2].id))
            ]

    def requeue(self, run_id: int, item_nos: Collection[int] | None = None) -> int:
        """Put dead chunks that hold one of these items (None: all) back to pending, and their run to work."""
        with self._tables.lock:
            run, asked = self._tables.run(run_id), 0
            refuse_erased(self._tables, run, item_nos)
            for chunk in self._tables.dead_chunks(run_id):
                if item_nos is None or set(item_nos) & set(chunk.masks):
                    chunk.put_back()
                    chunk.claims, chunk.not_before = 0, None
                    asked += sum(mask.bit_count() for mask in chunk.masks.values())
            if asked and run.state in ENDED_STATES:
                run.work_again()
            return asked

    def _revive(self, run: RunRow) -> int:
        asked = 0
        for chunk in self._tables.chunks.values():
            if chunk.run_id == run.id and chunk.state in {ChunkState.CANCELLED, ChunkState.DEAD}:
                chunk.put_back()
                chunk.claims, chunk.not_before = 0, None
                asked += sum(mask.bit_count() for mask in chunk.masks.values())
        return asked

    def _ask_unresolved(self, run: RunRow) -> int:
        again = [
            place
            for place, outcome in run.outcomes.items()
            if (outcome.unresolved or outcome.uncertified) and run.items[place[0]].item.text
        ]
        groups: dict[Group, dict[int, int]] = {}
        for item_no, step_no in sorted(again):
            outcome = run.outcomes.pop((item_no, step_no))
            group = (run.job.ladder(step_no)[-1], outcome.generation + 1)
            masks = groups.setdefault(group, {})
            masks[item_no] = masks.get(item_no, 0) | 1 << step_no
        for group, masks in sorted(groups.items()):
            self._tables.make_chunks(run, group, masks.items())
        return len(again)
