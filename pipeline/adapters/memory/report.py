"""What people read: ports.store.ReportStore."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from pipeline.adapters.memory.costs import baseline, cost_table
from pipeline.adapters.memory.money import spending_of, unsettled_of
from pipeline.adapters.memory.rows import AttemptRow, RunRow
from pipeline.adapters.memory.tables import Tables
from pipeline.domain.answers import Answer, Malformed, expectation_of, spans_of
from pipeline.domain.errors import RunNotFound
from pipeline.domain.items import RejectedRow
from pipeline.domain.outcomes import Escalation, Unresolved
from pipeline.domain.runs import (
    Costs,
    ResultLine,
    RunProgress,
    StepCounts,
    StepResult,
    shown_label,
    shown_state,
)
from pipeline.ports.store import RunRecord

_LATEST = "last"


class ReportPart:
    """Counts, results and costs."""

    def __init__(self, tables: Tables) -> None:
        """Work on these rows."""
        self._tables = tables

    def find_run(self, name: str) -> RunRecord:
        """Return the run of this name, or the latest whose name begins so, or `last`; raises RunNotFound."""
        with self._tables.lock:
            latest_first = [run.record() for run in reversed(self._tables.runs.values())]
        exact = [run for run in latest_first if run.name == name]
        begins = [run for run in latest_first if name == _LATEST or run.name.startswith(name)]
        if not exact and not begins:
            raise RunNotFound(f"no run is called {name!r} or begins so; `headrace status` lists the runs")
        return (exact or begins)[0]

    def list_runs(self, *, limit: int = 50) -> Sequence[RunProgress]:
        """Return the latest runs first."""
        with self._tables.lock:
            return [self.progress(run_id) for run_id in sorted(self._tables.runs, reverse=True)[:limit]]

    def progress(self, run_id: int) -> RunProgress:
        """Count a run: items, verdicts by step and tier, costs, copies included."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            held_up = {tier.name: self._tables.pauses_of(run, number) for number, tier in enumerate(run.job.tiers)}
            paused = {name: pauses[0].reason for name, pauses in held_up.items() if pauses}
            state, reason = shown_state(run.state, run.reason, paused)
            costs = [row.entry.cost_usd for row in run.ledger]
            copies = [row.copy_of for row in run.items.values() if row.copy_of is not None]
            return RunProgress(
                run=run.name,
                state=state,
                reason=reason,
                items=len(run.items),
                rejected=len(run.rejected),
                forgotten=run.forgotten,
                duplicates=len(copies),
                steps=_step_counts(run, Counter(copies)),
                known_usd=sum((cost for cost in costs if cost is not None), Decimal(0)),
                unknown_calls=costs.count(None),
                calls=len(costs),
                baseline_usd=baseline(run),
                created_at=run.created_at,
                spending=spending_of(self._tables, run),
                unsettled=unsettled_of(self._tables, [run]),
                seconds=((run.ended_at or self._tables.clock.now()) - run.created_at).total_seconds(),
            )

    def results(self, run_id: int) -> Iterator[ResultLine]:
        """Yield one line per valid row, in the source's order, copies included."""
        with self._tables.lock:
            run = self._tables.run(run_id)
            rows = sorted(run.items.items())
        for item_no, row in rows:
            asked = item_no if row.copy_of is None else row.copy_of
            with self._tables.lock:
                answers = {
                    step.name: shown_label(_step_result(run, asked, number), run.labels, (asked, number))
                    for number, step in enumerate(run.job.steps)
                }
            yield ResultLine(key=row.item.key, source=row.item.source, line=row.item.line, answers=answers)

    def rejected(self, run_id: int) -> Iterator[RejectedRow]:
        """Yield the rejected rows in the source's order."""
        with self._tables.lock:
            rows = sorted(self._tables.run(run_id).rejected.items())
        for _, row in rows:
            yield row

    def costs(self, run_id: int | None, *, by: Sequence[str]) -> Costs:
        """Return calls, tokens, seconds and cost grouped by any of step, tier, model, day; one run or all."""
        with self._tables.lock:
            runs = list(self._tables.runs.values()) if run_id is None else [self._tables.run(run_id)]
            return replace(cost_table(runs, by), unsettled=unsettled_of(self._tables, runs))


def _step_counts(run: RunRow, copies: Mapping[int, int]) -> dict[str, StepCounts]:
    """Count outcomes by step, each as often as its text occurs."""
    verdicts: list[Counter[int]] = [Counter() for _ in run.job.steps]
    unresolved = [0] * len(run.job.steps)
    for (item_no, step_no), outcome in run.outcomes.items():
        rows = 1 + copies.get(item_no, 0)
        if outcome.unresolved:
            unresolved[step_no] += rows
        else:
            verdicts[step_no][outcome.tier_no] += rows
    return {
        step.name: StepCounts(
            verdicts={tier.name: verdicts[step_no][tier_no] for tier_no, tier in enumerate(run.job.tiers)},
            unresolved=unresolved[step_no],
        )
        for step_no, step in enumerate(run.job.steps)
    }


def _step_result(run: RunRow, item_no: int, step_no: int) -> StepResult:
    attempts = sorted(run.attempts.get((item_no, step_no), {}).items())
    rows = [row for _, row in attempts]
    outcome = run.outcomes.get((item_no, step_no))
    if outcome is None:
        return _result(run, rows, state="pending", shown=None, reason=None)
    last = run.attempts[item_no, step_no][outcome.tier_no, outcome.generation]
    if not outcome.unresolved:
        state = "uncertified" if outcome.uncertified else "verdict"
        return _result(run, rows, state=state, shown=last, reason=None)
    well_formed = [row for row in rows if not isinstance(row.attempt.given.answer, Malformed)]
    reason = last.attempt.outcome.reason if isinstance(last.attempt.outcome, Unresolved) else None
    return _result(run, rows, state="unresolved", shown=well_formed[-1] if well_formed else last, reason=reason)


def _result(
    run: RunRow, rows: Sequence[AttemptRow], *, state: str, shown: AttemptRow | None, reason: str | None
) -> StepResult:
    """Write one answer, and from which tiers it was escalated."""
    escalated = tuple(
        (run.job.tiers[row.tier_no].name, row.attempt.outcome.reason)
        for row in rows
        if isinstance(row.attempt.outcome, Escalation)
    )
    answer = shown.attempt.given.answer if shown else None
    given: Answer | None = None if isinstance(answer, Malformed) else answer
    confidence = shown.attempt.confidence if shown else None
    fields = shown.attempt.field_confidences if shown else {}
    return StepResult(
        state=state,
        value=given.value if given else None,
        expectation=expectation_of(given),
        spans=spans_of(given),
        fields={name: part.value for name, part in fields.items()},
        confidence=confidence.value if confidence else None,
        calibrated=confidence.calibrated if confidence else False,
        tier=run.job.tiers[shown.tier_no].name if shown else None,
        escalated_from=escalated,
        reason=reason,
    )
