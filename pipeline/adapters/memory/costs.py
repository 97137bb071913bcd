"""Money: the ledger grouped, and the baseline of a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from pipeline.adapters.memory.rows import AttemptRow, LedgerRow, RunRow
from pipeline.domain.errors import ConfigError
from pipeline.domain.ledger import StepUsage, baseline_usd
from pipeline.domain.runs import CostRow, Costs

_GROUPS = ("step", "tier", "model", "day")
_NOBODY = ""  # the step of what is not attributed: calls whose answers came too late


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A call, or one step's part of it."""

    group: Mapping[str, str]
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    seconds: float
    cost_usd: Decimal | None


def cost_table(runs: Sequence[RunRow], by: Sequence[str]) -> Costs:
    """Group the ledgers of some runs; raises ConfigError on a group that there is not."""
    if not by or any(name not in _GROUPS for name in by):
        raise ConfigError(f"costs are grouped by one or more of: {', '.join(_GROUPS)}")
    grouped: dict[tuple[str, ...], list[_Part]] = {}
    for run in runs:
        for part in _parts(run, by_step="step" in by):
            grouped.setdefault(tuple(part.group[name] for name in by), []).append(part)
    booked = [row.entry.cost_usd for run in runs for row in run.ledger]
    return Costs(
        rows=tuple(_row(dict(zip(by, key, strict=True)), parts) for key, parts in sorted(grouped.items())),
        known_usd=sum((cost for cost in booked if cost is not None), Decimal(0)),
        unknown_calls=booked.count(None),
    )


def baseline(run: RunRow) -> Decimal | None:
    """Estimate what the job's last tier would have charged; None where a token count or its price is unknown."""
    usages = [_usage(run, step_no) for step_no in sorted({step_no for step_no, _ in _attempts(run)})]
    price = run.price_book.price(run.job.tiers[-1].price, run.created_at.date())
    known = [usage for usage in usages if usage is not None]
    return baseline_usd(known, price) if len(known) == len(usages) else None


def _attempts(run: RunRow) -> Iterator[tuple[int, AttemptRow]]:
    """Yield (step_no, attempt) of a run."""
    return ((step_no, row) for (_, step_no), rows in run.attempts.items() for row in rows.values())


def _parts(run: RunRow, *, by_step: bool) -> Iterator[_Part]:
    answered: dict[UUID, dict[int, list[AttemptRow]]] = {}
    for step_no, row in _attempts(run) if by_step else ():
        answered.setdefault(row.attempt.call_id, {}).setdefault(step_no, []).append(row)
    for booked in run.ledger:
        by_no = answered.get(booked.entry.call.id)
        if by_no is None:
            yield _whole(run, booked)
        else:
            answers = sum(map(len, by_no.values()))
            for step_no, rows in sorted(by_no.items()):
                yield _step_part(run, booked, step_no, rows, len(rows) / answers)


def _group(run: RunRow, booked: LedgerRow, step: str) -> dict[str, str]:
    return {
        "step": step,
        "tier": run.job.tiers[booked.tier_no].name,
        "model": booked.entry.call.model,
        "day": booked.booked_at.date().isoformat(),
    }


def _whole(run: RunRow, booked: LedgerRow) -> _Part:
    call = booked.entry.call
    return _Part(
        group=_group(run, booked, _NOBODY),
        tokens_in=call.tokens_in or 0,
        tokens_cached=call.tokens_cached or 0,
        tokens_out=call.tokens_out or 0,
        seconds=call.seconds,
        cost_usd=booked.entry.cost_usd,
    )


def _step_part(run: RunRow, booked: LedgerRow, step_no: int, rows: Sequence[AttemptRow], share: float) -> _Part:
    usages = [row.attempt.given.usage for row in rows]
    return _Part(
        group=_group(run, booked, run.job.steps[step_no].name),
        tokens_in=sum(usage.tokens_in or 0 for usage in usages),
        tokens_cached=sum(usage.tokens_cached or 0 for usage in usages),
        tokens_out=sum(usage.tokens_out or 0 for usage in usages),
        seconds=booked.entry.call.seconds * share,
        cost_usd=_sum_known(rows),
    )


def _row(group: Mapping[str, str], parts: Sequence[_Part]) -> CostRow:
    costs = [part.cost_usd for part in parts]
    return CostRow(
        group=group,
        calls=len(parts),
        unknown_calls=costs.count(None),
        tokens_in=sum(part.tokens_in for part in parts),
        tokens_cached=sum(part.tokens_cached for part in parts),
        tokens_out=sum(part.tokens_out for part in parts),
        seconds=sum(part.seconds for part in parts),
        known_usd=sum((cost for cost in costs if cost is not None), Decimal(0)),
    )


def _usage(run: RunRow, step_no: int) -> StepUsage | None:
    """Return what a step used, for the baseline; None where an answer's tokens are unknown."""
    rows = [row for number, row in _attempts(run) if number == step_no]
    first, reader, top = run.job.ladder(step_no)[0], run.job.reader(step_no), len(run.job.tiers) - 1
    asked = sum((row.tier_no, row.generation) == (first, 0) for row in rows)
    read = [row.attempt.given.usage for row in rows if (row.tier_no, row.generation) == (reader, 0)]
    if any(usage.tokens_in is None or usage.tokens_out is None for usage in read):
        return None
    at_top = [row for row in rows if row.tier_no == top]
    return StepUsage(
        tokens_in=sum(usage.tokens_in or 0 for usage in read),
        tokens_out=sum(usage.tokens_out or 0 for usage in read),
        read=len(read),
        unread=asked - len(read),
        top_tokens=sum(map(_tokens, at_top)),
        top_cost_usd=_sum_known(at_top),
    )


def _sum_known(rows: Sequence[AttemptRow]) -> Decimal | None:
    """Return the sum of the attempts' costs; None where one is unknown."""
    costs = [row.cost_usd for row in rows]
    return None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))


def _tokens(row: AttemptRow) -> int:
    usage = row.attempt.given.usage
    return (usage.tokens_in or 0) + (usage.tokens_out or 0)
