"""Commands that measure: bench engine."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.table import Table

from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.terminal import err, examples, input_options, json_option, out, print_json
from pipeline.cli.tuning import warn_of_other_work
from pipeline.domain.fusing import LEAST_ANSWERS
from pipeline.flow.bench import Rate, Timed
from pipeline.ports.source import SourceOptions
from pipeline.settings import load_settings
from pipeline.wiring.benching import Benched, bench_engine, tier_to_bench
from pipeline.wiring.inputs import written_job
from pipeline.wiring.parts import system_clock

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@commands.group()
@examples(
    "headrace bench engine job.toml tickets.csv", "headrace bench engine job.toml tickets.csv --gold gold.jsonl --json"
)
def bench() -> None:
    """Measure, on this machine and your own data."""


@bench.command()
@click.argument("job_file", metavar="JOB", type=_FILE)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@input_options
@click.option("--tier", help="Which tier [default: the first with a llama engine].")
@click.option("--items", "most_items", type=click.IntRange(min=1), default=256, show_default=True, help="At most.")
@click.option("--gold", type=_FILE, help="The right answers: JSON Lines of `key` and an answer for each step.")
@json_option
@examples(
    "headrace bench engine job.toml tickets.csv",
    "headrace bench engine job.toml tickets.csv --gold gold.jsonl",
    "headrace bench engine job.toml tickets.csv --tier small --items 32  # a quick look, no evidence",
)
def engine(
    job_file: Path,
    inputs: tuple[str, ...],
    input_format: str | None,
    encoding: str,
    tier: str | None,
    most_items: int,
    gold: Path | None,
    as_json: bool,  # noqa: FBT001 — click passes options by name
) -> None:
    """Ask a tier's steps of the first items, and show items/s, tokens/s and how near that is to what can be read.

    The model is loaded as a worker alone on the machine would: with the tier's `threads`, else with as many as `models
    tune` found best, else with all CPUs. No servers are needed and nothing is stored but the evidence for `fuse =
    "auto"`: steps are asked apart and in one reading, and a step holds when one reading costs it no more than a point
    of accuracy (with --gold), or when 99 % of its answers stay the same. From then on new runs of the job with this
    very model file read a text once for the steps that hold, if there are two or more and that is faster: so tune
    first, then measure. It takes 100 answers of a step to be evidence; the latest counts. Let nothing else run
    meanwhile.

    A line of --gold is, say, {"key": "T-1", "category": "billing", "mood": "neutral"}, with any of the job's steps. Its
    `key` is the value of the job's `key` column as a string; without one the line's number, "7", or with several inputs
    "2:7", the second one's line 7.
    """
    settings = load_settings()
    job = written_job(job_file)
    tier_no = tier_to_bench(job, tier)
    warn_of_other_work()
    with Display() as display:
        found = bench_engine(
            job,
            tier_no,
            inputs,
            SourceOptions(format=input_format, encoding=encoding),
            settings,
            most_items=most_items,
            gold=gold,
            clock=system_clock(),
            say=lambda what: err.print(what, markup=False, soft_wrap=True),
            show=display.bar,
        )
    if as_json:
        print_json(found.as_json())
        return
    _show(found)
    fuse = job.tiers[tier_no].fuse
    if found.decision is not None and fuse != "auto":
        out.print(f"tier {found.tier} says fuse = {str(fuse).lower()}: that counts", markup=False)


def _show(found: Benched) -> None:
    rate = found.apart.prefill_tokens_per_s
    out.print(f"{found.model} reads 512 tokens at {rate:,.0f} tokens/s here", markup=False, soft_wrap=True)
    out.print(_speeds(found))
    out.print("tokens/s; shared: not read again; of best: read/s by the speed of 512 tokens just then", soft_wrap=True)
    if not found.trials and any(share is not None for share in found.accuracy.values()):
        table = Table("step")
        table.add_column("right", justify="right")
        for step, accuracy in found.accuracy.items():
            table.add_row(step, _share(accuracy))
        out.print(table)
    for trial, _ in found.trials:
        table = Table()
        table.add_column("in one reading")
        for column in ("same answers", "right apart", "right in one reading", "holds"):
            table.add_column(column, justify="right")
        for one in trial.steps:
            table.add_row(
                one.step,
                f"{one.same:.1%}",
                _share(one.apart_accuracy),
                _share(one.fused_accuracy),
                "too few" if one.answers < LEAST_ANSWERS else "yes" if one.holds else "no",
            )
        out.print(table)
    if found.decision is not None:
        steps = ", ".join(found.decision.steps) or "none"
        if found.evidence is None:
            out.print(
                f"too few items to be evidence ({LEAST_ANSWERS} are needed): what was measured before still counts"
            )
        out.print(f'fuse = "auto" reads together: {steps} ({found.decision.reason})', markup=False, soft_wrap=True)


def _speeds(found: Benched) -> Table:
    table = Table()
    table.add_column("steps")
    for column in ("items/s", "read/s", "shared/s", "written/s", "of best"):
        table.add_column(column, justify="right")
    several = len(found.apart.readings) > 1
    for name, timed in _layouts(found):
        rate = timed.prefill_tokens_per_s
        table.add_row(name, *_cells(timed.total, rate))
        for steps, part in timed.readings.items() if several else ():
            table.add_row(f"  {' + '.join(steps)}", *_cells(part, rate))
    return table


def _layouts(found: Benched) -> Iterator[tuple[str, Timed]]:
    yield "all, apart", found.apart
    for trial, timed in found.trials:
        yield ("all, one reading" if len(trial.steps) == len(found.apart.answers) else "all, some fused"), timed


def _cells(rate: Rate, prefill_tokens_per_s: float) -> Sequence[str]:
    shown = rate.as_json(prefill_tokens_per_s)
    return (
        f"{rate.items_per_s:,.2f}",
        f"{rate.read_tokens_per_s:,.0f}",
        f"{shown['shared_tokens_per_s']:,.0f}",
        f"{shown['written_tokens_per_s']:,.0f}",
        f"{shown['share_of_prefill']:.0%}",
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
