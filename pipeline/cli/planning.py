"""plan: the cheapest ladder for each step that is good enough."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from pipeline.cli.evaluating import refuse_costs
from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.terminal import err, examples, input_options, json_option, out, print_json
from pipeline.domain.job import Job
from pipeline.flow.plan import Ladder, StepPlan, tiers_to_spare
from pipeline.flow.samples import gold_by_key
from pipeline.ports.source import SourceOptions
from pipeline.settings import load_settings
from pipeline.wiring.evaluating import labelled_steps
from pipeline.wiring.inputs import job_from
from pipeline.wiring.parts import price_book_for, system_clock
from pipeline.wiring.planning import apply_plans, plan_steps
from pipeline.wiring.samples import items_of, read_gold

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MOST_SHOWN = 12


@commands.command("plan")
@click.argument("job_file", metavar="JOB", type=_FILE)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--labels", type=_FILE, required=True, help="Right answers: JSON Lines of `key` and an answer per step.")
@click.option(
    "--for", "run_items", type=click.IntRange(min=1), default=100_000, show_default=True, help="Items of the run."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0, max=0.2),
    default=0.005,
    show_default=True,
    help="Without a target: how much less right than the best ladder is good enough.",
)
@click.option(
    "--items", "most_items", type=click.IntRange(min=1), default=1000, show_default=True, help="Asked at most."
)
@click.option("--paid", is_flag=True, help="Ask endpoints too, which cost money.")
@click.option("--apply", "write", is_flag=True, help="Write the chosen ladders into JOB, which keeps its comments.")
@input_options
@json_option
@examples(
    "headrace plan job.toml tickets.csv --labels gold.jsonl --for 2000000",
    "headrace plan job.toml tickets.csv --labels gold.jsonl --apply",
    "headrace plan job.toml tickets.csv --labels gold.jsonl --json",
)
def plan_command(
    job_file: Path,
    inputs: tuple[str, ...],
    labels: Path,
    run_items: int,
    tolerance: float,
    most_items: int,
    input_format: str | None,
    encoding: str,
    *,
    paid: bool,
    write: bool,
    as_json: bool,
) -> None:
    """Find the cheapest ladder for each step, and say which tiers a job could do without.

    All tiers answer the labelled texts once; then every choice of tiers is tried on these answers. For a step with a
    target its last tier stays, and a ladder costs what a certificate is expected to allow in a run of --for items, its
    drawn texts included. Other steps take the cheapest ladder that is right as often as the best one, less --tolerance,
    with the threshold that does it. Use texts that no tier has learned from.

    --apply writes `ladder`, and without a target `accept_at`, into the job file; another job is another run.
    """
    settings = load_settings()
    job = job_from(job_file, settings)
    refuse_costs(job, paid=paid)
    gold = gold_by_key(read_gold(labels, job))
    options = SourceOptions(format=input_format, encoding=encoding)
    items = items_of(job, inputs, options, settings, most_items=most_items, keys=gold.keys())
    with Display() as display:
        plans = plan_steps(
            job,
            labelled_steps(job, items, gold),
            price_book_for(settings),
            settings,
            run_items=run_items,
            tolerance=tolerance,
            clock=system_clock(),
            say=_say,
            show=display.bar,
        )
    if write:
        apply_plans(job_file, job, plans)
    spare = tiers_to_spare(plans, [tier.name for tier in job.tiers]) if len(plans) == len(job.steps) else []
    if as_json:
        print_json({"job": job.name, "for_items": run_items, "steps": [_json(one) for one in plans], "spare": spare})
        return
    _show(job, plans, spare, run_items)
    if write:
        _say(f"{job_file} has the chosen ladders now")


def _json(plan: StepPlan) -> dict[str, object]:
    return {"step": plan.step, "chosen": _ladder(plan.chosen), "ladders": [_ladder(one) for one in plan.ladders]}


def _ladder(one: Ladder) -> dict[str, object]:
    return {
        "tiers": list(one.tiers),
        "thresholds": list(one.thresholds),
        "accuracy": round(one.accuracy, 4),
        "agreement": round(one.agreement, 4),
        "goes_up": round(one.goes_up, 4),
        "seconds_per_item": one.seconds_per_item,
        "usd_per_item": one.usd_per_item,
        "passes": one.passes,
        "on_frontier": one.on_frontier,
    }


def _show(job: Job, plans: Sequence[StepPlan], spare: Sequence[str], run_items: int) -> None:
    for plan in plans:
        table = Table()
        columns = (plan.step, "from confidence", "right", "as the last tier", "goes up", "hours", "USD")
        for number, column in enumerate(columns):
            table.add_column(column, justify="left" if number == 0 else "right")
        for one in _worth_showing(plan):
            least = next((f"{value:.3f}" for value in one.thresholds if value is not None), "-")
            table.add_row(
                f"{' → '.join(one.tiers)}{' ←' if one is plan.chosen else ''}",
                least,
                f"{one.accuracy:.1%}",
                f"{one.agreement:.1%}",
                f"{one.goes_up:.0%}" if len(one.tiers) > 1 else "-",
                f"{one.seconds_per_item * run_items / 3600:,.2f}",
                "unknown" if one.usd_per_item is None else f"{one.usd_per_item * run_items:,.2f}",
            )
        out.print(table)
    out.print(f"hours of one worker for each tier, and USD, are for {run_items:,} items", markup=False)
    if spare:
        out.print(f"job {job.name} could do without: {', '.join(spare)}", markup=False)


def _worth_showing(plan: StepPlan) -> list[Ladder]:
    """Return the frontier and the chosen one, not too many."""
    front = [one for one in plan.ladders if one.on_frontier or one is plan.chosen]
    if len(front) <= _MOST_SHOWN:
        return front
    step = len(front) / _MOST_SHOWN
    kept = {int(number * step) for number in range(_MOST_SHOWN)} | {front.index(plan.chosen), len(front) - 1}
    return [front[number] for number in sorted(kept)]


def _say(what: str) -> None:
    err.print(what, markup=False, soft_wrap=True)
