"""Evaluations as tables on a terminal."""

from collections.abc import Sequence

from rich.table import Table

from pipeline.flow.evaluation import Moved, StepEvaluation, WayFigures


def moved_table(found: Sequence[Moved]) -> Table:
    """Return what moved between two evaluations, a row for each step and way; a clear change has a star."""
    table = _table("step", "answered by", "texts", "before", "after", "change", "95 % interval", "gained", "lost")
    for one in found:
        table.add_row(
            one.step,
            one.way,
            f"{one.items:,}",
            f"{one.before:.1%}",
            f"{one.after:.1%}",
            f"{one.change:+.1%}{' *' if one.clear else ''}",
            f"{one.low:+.1%} … {one.high:+.1%}",
            str(one.gained),
            str(one.lost),
        )
    return table


def step_table(step: StepEvaluation) -> Table:
    """Return a step's figures, a row for each way of answering."""
    slices = list(step.ways[0].slices)
    table = _table(
        step.step,
        "right",
        "F1",
        "hard fifth",
        *slices,
        "ECE",
        "excess",
        "Brier",
        "goes up",
        "ms a text",
        "USD a million",
    )
    for way in step.ways:
        table.add_row(
            way.name,
            f"{way.accuracy:.1%}",
            _number(way.f1),
            f"{way.hard_fifth:.1%}",
            *(f"{way.slices[name]:.1%}" for name in slices),
            _number(way.ece),
            _number(way.ece_excess),
            _number(way.brier),
            f"{way.escalated:.0%}" if way.name == "cascade" else "-",
            f"{way.seconds_per_item * 1e3:,.2f}",
            _usd(way),
        )
    return table


def remarks(step: StepEvaluation) -> Sequence[str]:
    """Return lines about a step's target, and about what its last tier earns."""
    lines = []
    if step.target is not None:
        least = f"{step.threshold or 0:.3f}"
        lines.append(f"target {step.target:.1%}: in hindsight kept on these texts from a confidence of {least} on")
    if step.earns is not None:
        one = step.earns
        price = "" if one.usd_per_gain is None else f", ${one.usd_per_gain:.6f} for each more right answer"
        verdict = price if one.clear else ": it is not shown that it earns its price"
        lines.append(
            f"the last tier changes accuracy by {one.change:+.1%} ({one.low:+.1%} to {one.high:+.1%}){verdict}"
        )
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _usd(way: WayFigures) -> str:
    return "unknown" if way.usd_per_item is None else f"{way.usd_per_item * 1e6:,.2f}"


def _table(*columns: str) -> Table:
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table
