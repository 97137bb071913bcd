"""estimate: what a run will cost, before it."""

from decimal import Decimal
from pathlib import Path

import click
from rich.table import Table

from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.terminal import err, examples, input_options, json_option, out, print_json
from pipeline.domain.budget import Budget, dollars
from pipeline.domain.estimate import Estimate, TierEstimate
from pipeline.flow.estimate import estimated
from pipeline.flow.ingest import refuse_unpriced
from pipeline.ports.source import SourceOptions
from pipeline.settings import load_settings
from pipeline.wiring.estimating import tried
from pipeline.wiring.inputs import job_from
from pipeline.wiring.parts import price_book_for, system_clock
from pipeline.wiring.samples import Drawn, drawn_items

_SEED = 20261130
"""The same sample of the same input, so that two jobs are compared on the same texts."""


@commands.command("estimate")
@click.argument("job_file", metavar="JOB", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--items", "count", type=click.IntRange(min=2), default=200, show_default=True, help="Asked at most.")
@click.option("--paid", is_flag=True, help="Ask endpoints too, which cost money.")
@click.option("--for", "run_items", type=click.IntRange(min=1), help="Texts of the run [default: those of INPUT].")
@input_options
@json_option
@examples(
    "headrace estimate job.toml tickets.csv",
    "headrace estimate job.toml tickets.csv --items 500 --paid",
    "headrace estimate job.toml sample.csv --for 2000000 --json",
)
def estimate_command(
    job_file: Path,
    inputs: tuple[str, ...],
    count: int,
    run_items: int | None,
    input_format: str | None,
    encoding: str,
    *,
    paid: bool,
    as_json: bool,
) -> None:
    """Say what a run of JOB over the inputs will cost, with a 90 % confidence interval, before anything is spent.

    A random sample of the texts goes through the job's own cascade, in this process and without servers; nothing is
    kept. The whole input is read once, identical texts count once, and what the sample took is scaled up. The interval
    (bootstrap, BCa) is about which texts were drawn: a machine that is slower later, or a price that changes, is not in
    it. Endpoints are asked with --paid only; otherwise their part is reckoned from lengths and listed prices.
    """
    settings = load_settings()
    job = job_from(job_file, settings)
    prices = price_book_for(settings)
    refuse_unpriced(job, prices)
    options = SourceOptions(format=input_format, encoding=encoding)
    with Display() as display:
        drawn = drawn_items(job, inputs, options, settings, count=count, seed=_SEED, show=display.bar)
        trial = tried(job, drawn.items, prices, settings, paid=paid, clock=system_clock(), say=_say, show=display.bar)
    found = estimated(trial, items=run_items or drawn.texts, seed=_SEED)
    if as_json:
        budget = None if job.budget is None else {**_caps(job.budget), "exceeded": list(found.exceeds(job.budget))}
        counts = {"rows": drawn.rows, "duplicates": drawn.rows - drawn.texts, "rejected": drawn.rejected}
        print_json({"job": job.name, **counts, **found.as_json(), "budget": budget})
        return
    _show(found, drawn, job.budget)


def _caps(budget: Budget) -> dict[str, float | None]:
    caps = {"usd": budget.usd, "per_item_usd": budget.per_item_usd}
    return {name: None if cap is None else float(cap) for name, cap in caps.items()}


def _show(found: Estimate, drawn: Drawn, budget: Budget | None) -> None:
    table = Table("tier", "items", "calls", "USD", "hours of one worker")
    for tier in found.tiers:
        least = ">= " if tier.at_least else ""
        hours = "not asked" if tier.hours is None else f"{tier.hours:,.2f}"
        table.add_row(tier.tier, f"{least}{tier.items:,}", f"{least}{tier.calls:,}", least + _usd(tier), hours)
    out.print(table)
    for line in _lines(found, drawn):
        out.print(line, markup=False, soft_wrap=True)
    for name in found.exceeds(budget):
        err.print(f"this may go over the budget's {name}: {_over(name, found)}", markup=False, soft_wrap=True)


def _usd(tier: TierEstimate) -> str:
    return "unknown" if tier.usd is None else dollars(tier.usd)


def _lines(found: Estimate, drawn: Drawn) -> list[str]:
    rows = f"{drawn.rows:,} rows, {drawn.rows - drawn.texts:,} of them copies; {drawn.rejected:,} rejected"
    lines = [f"for {found.items:,} texts, by {found.sample:,} of them ({rows})"]
    for one in found.promises:
        cost = "unknown" if one.usd is None else dollars(one.usd)
        lines.append(
            f"{one.step}, for its target: {one.more_items:,} more of {one.tier}, {one.drawn:,} of them drawn: {cost}"
        )
    least = "at least " if found.at_least else ""
    if found.usd is None:
        lines.append("in all: unknown")
    elif found.usd_low is None or found.usd_high is None:
        lines.append(f"in all {least}{dollars(found.usd)}; one text tells nothing of how far that is off")
    else:
        ends = f"{dollars(found.usd_low)} to {dollars(found.usd_high)}"
        lines.append(f"in all {least}{dollars(found.usd)}, with 90 % confidence {ends}")
    return [*lines, *found.notes]


def _over(name: str, found: Estimate) -> str:
    if name == "usd":
        return f"{dollars(found.usd_high or Decimal(0))} at the upper end"
    return f"the dearest text of the sample cost {dollars(found.dearest_usd or Decimal(0))}"


def _say(what: str) -> None:
    err.print(what, markup=False, soft_wrap=True)
