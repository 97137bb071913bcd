"""Tables for people."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.cli.progress import money
from pipeline.domain.budget import Spending, Unsettled, dollars
from pipeline.domain.ledger import saved_ratio
from pipeline.domain.runs import Costs, RunProgress, RunState
from pipeline.flow.scoring import UNGROUPED, Accuracy, Score, Tally

COMMONEST = (
    "commonest: what always giving the commonest answer would score; (n): answers of that tier, to a higher one only "
    "what those below were not sure of"
)
"""Says what the columns of `accuracy_table` mean."""


def run_table(now: RunProgress) -> Group:
    """Return one run: where its answers came from, and what they cost."""
    table = Table()
    table.add_column("step")
    tiers = list(next(iter(now.steps.values())).verdicts) if now.steps else []
    for tier in tiers:
        table.add_column(tier, justify="right")
    table.add_column("unresolved", justify="right")
    table.add_column("pending", justify="right")
    for name, step in now.steps.items():
        answered = sum(step.verdicts.values()) + step.unresolved
        counts = [*(step.verdicts[tier] for tier in tiers), step.unresolved, now.items - answered]
        table.add_row(name, *(f"{count:,}" for count in counts))
    return Group(Text(f"{now.run}: {now.state.value}"), table, Text(_caption(now)))


def _caption(now: RunProgress) -> str:
    ratio = saved_ratio(known_usd=now.known_usd, unknown_calls=now.unknown_calls, baseline=now.baseline_usd)
    baseline = "unknown" if now.baseline_usd is None else f"${now.baseline_usd:.4f} (estimate)"
    saved = "unknown" if ratio is None else f"{ratio:.0%}"
    if now.state is not RunState.DONE:  # the baseline is of all items, answered or not
        saved = "told when it is done"
    gone = f"{now.forgotten:,} forgotten; " if now.forgotten else ""
    rows = f"{now.items:,} items, {now.duplicates:,} of them copies; {now.rejected:,} rows rejected"
    lines = [
        f"{rows}; {gone}{now.seconds:,.1f} s",
        f"cost {money(now)}; all at the top tier: {baseline}; saved: {saved}",
        "confidences are uncalibrated where nothing was learned",
    ]
    if now.spending is not None:
        lines.append(budget_line(now.spending))
        if now.spending.budget.on_exhausted == "accept":
            lines.append("answers for which there was no money to ask further are `uncertified` in the results")
    if now.unsettled.calls:
        lines.append(unsettled_line(now.unsettled))
    if now.reason:
        lines.append(now.reason)
    return "\n".join(lines)


def budget_line(now: Spending) -> str:
    """Return where a run's money stands, in words."""
    usd, per_item_usd = now.budget.usd, now.budget.per_item_usd
    caps = [dollars(usd)] if usd is not None else []
    caps += [f"{dollars(per_item_usd)} an item"] if per_item_usd is not None else []
    lost = f" ({dollars(now.lost.usd)} of it by workers that were lost)" if now.lost.calls else ""
    return (
        f"budget {' and '.join(caps)}, then {now.budget.on_exhausted}: {dollars(now.settled_usd)} settled, "
        f"{dollars(now.reserved_usd)} reserved{lost}"
    )


def unsettled_line(unsettled: Unsettled) -> str:
    """Return what lost workers may have spent beside what is booked, in words."""
    calls = "chunk was" if unsettled.calls == 1 else "chunks were"
    return (
        f"unsettled: {unsettled.calls:,} {calls} being asked when their worker was lost, "
        f"which may have cost up to {dollars(unsettled.usd)} more"
    )


def runs_table(runs: Sequence[RunProgress]) -> Table:
    """Return all runs, a line each."""
    table = Table()
    table.add_column("run", overflow="fold")  # a name is there to be copied, also from a narrow terminal
    for name in ("state", "items", "rejected", "answered", "cost", "started"):
        table.add_column(name)
    for now in runs:
        share = f"{now.answered / now.asked:.0%}" if now.asked else "-"
        started = now.created_at.strftime("%Y-%m-%d %H:%M")
        table.add_row(now.run, now.state.value, f"{now.items:,}", f"{now.rejected:,}", share, money(now), started)
    return table


def costs_table(costs: Costs, by: Sequence[str]) -> Table:
    """Return costs, grouped."""
    unknown = f" and {costs.unknown_calls:,} calls of unknown cost" if costs.unknown_calls else ""
    lost = f"\n{unsettled_line(costs.unsettled)}" if costs.unsettled.calls else ""
    table = Table(caption=f"in all ${costs.known_usd:.6f}{unknown}{lost}", caption_justify="left")
    for name in by:
        table.add_column(name)
    for name in ("calls", "tokens in", "cached", "tokens out", "seconds", "usd"):
        table.add_column(name, justify="right")
    for row in costs.rows:
        cost = f"{row.known_usd:.6f}" + (f" + {row.unknown_calls:,} unknown" if row.unknown_calls else "")
        counts = (row.calls, row.tokens_in, row.tokens_cached, row.tokens_out)
        names = (row.group[name] or "(no answer kept)" for name in by)
        table.add_row(*names, *(f"{count:,}" for count in counts), f"{row.seconds:,.1f}", cost)
    return table


def accuracy_table(accuracy: Accuracy, tiers: Iterable[str]) -> Table:
    """Return the shares of right answers: by step and field, by difficulty, and by the tier that answered."""
    tiers = list(tiers)
    groups = sorted({group for step in accuracy.steps.values() for group in step.by_group} - {UNGROUPED})
    table = Table(title=f"right answers, of {accuracy.items:,} items", title_justify="left")
    table.add_column("step", no_wrap=True)
    for name in ("all", "commonest", *groups, *tiers):
        table.add_column(name, justify="right")
    for step, total in accuracy.steps.items():
        rows = [(step, total), *((f"  {name}", field) for name, field in total.fields.items())]
        for name, counted in rows:
            table.add_row(name, *_shares(counted, groups, tiers))
    return table


def _shares(counted: Score, groups: Iterable[str], tiers: Iterable[str]) -> Iterator[str]:
    yield _percent(counted.total)
    yield _percent(counted.commonest)
    yield from (_percent(counted.by_group.get(group)) for group in groups)
    for tier in tiers:
        tally = counted.by_tier.get(tier)
        yield "-" if tally is None else f"{_percent(tally)} ({tally.of:,})"


def _percent(tally: Tally | None) -> str:
    return "-" if tally is None or tally.share is None else f"{tally.share:.0%}"
