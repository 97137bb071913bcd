"""The command that shows it all on our own sample tickets: answers, escalations, accuracy, costs, savings."""

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table

from pipeline import samples
from pipeline.cli.exports import check_output, write_results
from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.run import run_job
from pipeline.cli.terminal import err, examples, json_option, out, print_json
from pipeline.cli.views import COMMONEST, accuracy_table, costs_table, run_table
from pipeline.domain.answers import Plain
from pipeline.domain.errors import ConfigError, RunFailed
from pipeline.domain.items import RejectedRow
from pipeline.domain.job import Job
from pipeline.domain.runs import Costs, ResultLine, RunProgress, RunState
from pipeline.flow.scoring import Accuracy, GoldLine, gold_lines, score
from pipeline.ports.source import SourceOptions
from pipeline.ports.store import Store
from pipeline.settings import Settings, load_settings
from pipeline.wiring.inputs import job_from
from pipeline.wiring.model_files import missing_models, pull_missing_models

_SAMPLES = ("tickets.toml", "tickets.csv", "tickets.gold.jsonl")
_ANSWERS = "answers.jsonl"
_GROUPS = ("step", "tier")
_SHOWN = {"settled at once": 2, "escalated": 4, "unresolved": 1}
"""How many examples of each kind are printed."""
_GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What the demo shows beside the run's own counts."""

    accuracy: Accuracy
    examples: tuple[ResultLine, ...]
    rejected: tuple[RejectedRow, ...]
    costs: Costs


@commands.command()
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Copy job, tickets and gold answers there and write answers.jsonl, to try changes on.",
)
@json_option
@examples("headrace demo", "headrace demo --keep ./try", "headrace demo --json")
def demo(keep: Path | None, as_json: bool) -> None:  # noqa: FBT001 — click passes options by name
    """Run 120 sample tickets through a small and a larger model, and show answers, accuracy and costs.

    The first time, the models are fetched (1.6 GB). The second time the answers are there already: the same job over
    the same tickets is the same run. Models and answers lie in HEADRACE_HOME.
    """
    settings = load_settings()
    job = job_from(samples.path("tickets.toml"), settings)
    if keep is not None:
        _keep_samples(keep)
    _fetch(job, settings)
    found: list[Gathered] = []

    def look(store: Store, final: RunProgress) -> None:
        found.append(gathered(store, final, job))
        if keep is not None:
            write_results(store.results(store.find_run(final.run).id), job, keep / _ANSWERS, None)

    final = run_job(job, [str(samples.path("tickets.csv"))], SourceOptions(), settings, then=look)
    if as_json:
        print_json({**final.as_json(), "accuracy": found[0].accuracy.as_json()})
    else:
        _show(final, found[0], job, keep)
    if final.state is not RunState.DONE:
        raise RunFailed(f"run {final.run} ended {final.state.value}: {final.reason or 'see headrace status'}")


def _fetch(job: Job, settings: Settings) -> None:
    missing = missing_models(job, settings)
    if not missing:
        return
    sizes = ", ".join(f"{one.entry.name} ({one.entry.size_bytes / _GB:.2f} GB)" for one in missing)
    total = sum(one.entry.size_bytes for one in missing) / _GB
    err.print(f"fetching {total:.2f} GB of models, once: {sizes}", markup=False, soft_wrap=True)
    with Display() as display:
        pull_missing_models(job, settings, display.bar)


def gathered(store: Store, final: RunProgress, job: Job) -> Gathered:
    """Read what is to be shown, while the servers are up."""
    run_id = store.find_run(final.run).id
    return Gathered(
        accuracy=score(_gold(), store.results(run_id), [step.name for step in job.steps]),
        examples=chosen(store.results(run_id)),
        rejected=tuple(store.rejected(run_id)),
        costs=store.costs(run_id, by=_GROUPS),
    )


def _gold() -> Iterator[GoldLine]:
    with samples.path("tickets.gold.jsonl").open(encoding="utf-8") as file:
        yield from gold_lines(file)


def chosen(lines: Iterable[ResultLine]) -> tuple[ResultLine, ...]:
    """Choose a handful of examples in the input's order: the first of each kind."""
    left = dict(_SHOWN)
    kept = []
    for line in lines:
        kind = _kind(line)
        if left[kind]:
            left[kind] -= 1
            kept.append(line)
    return tuple(kept)


def _kind(line: ResultLine) -> str:
    if any(result.state == "unresolved" for result in line.answers.values()):
        return "unresolved"
    return "escalated" if any(result.escalated_from for result in line.answers.values()) else "settled at once"


def _keep_samples(folder: Path) -> None:
    """Copy the samples, before anything that takes time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _SAMPLES:
            shutil.copyfile(samples.path(name), folder / name)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}; give another folder to --keep") from None
    check_output(folder / _ANSWERS)


def _show(final: RunProgress, found: Gathered, job: Job, keep: Path | None) -> None:
    out.print(examples_table(found.examples))
    out.print(accuracy_table(found.accuracy, [tier.name for tier in job.tiers]))
    out.print(COMMONEST, soft_wrap=True)
    out.print()
    if found.rejected:
        out.print("rejected rows")
        for row in found.rejected:
            text = f"  {Path(row.source).name}:{row.line}: {row.reason.value}: {row.detail}"
            out.print(text, markup=False, soft_wrap=True)
        out.print()
    out.print(costs_table(found.costs, _GROUPS))
    out.print(run_table(final))
    out.print(_next(keep), markup=False, soft_wrap=True)


def examples_table(lines: Iterable[ResultLine]) -> Table:
    """Return some items, a row for each step."""
    table = Table(title="some answers", title_justify="left")
    for name in ("ticket", "step", "answer"):
        table.add_column(name)
    table.add_column("confidence", justify="right")
    table.add_column("tier")
    table.add_column("escalated from, because")
    for line in lines:
        for number, (step, result) in enumerate(line.answers.items()):
            sure = "unknown" if result.confidence is None else f"{result.confidence:.2f}"
            why = ", ".join(f"{tier}: {reason}" for tier, reason in result.escalated_from)
            state = "" if result.state == "verdict" else f" ({result.state})"
            key = "" if number else line.key
            table.add_row(key, step, written(result.value) + state, sure, result.tier or "-", why)
        table.add_section()
    return table


def written(value: Plain) -> str:
    """Write an answer in a few words; fields that are null are left out."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {given}" for name, given in value.items() if given is not None) or "nothing found"
    return "-" if value is None else str(value)


def _next(keep: Path | None) -> str:
    """Say what to type next, with the program's path where it is not on the user's."""
    program = "headrace" if shutil.which("headrace") else _shown(Path(sys.executable).with_name("headrace"))
    folder = samples.path("tickets.toml").parent if keep is None else keep
    job, tickets = _shown(folder / "tickets.toml"), _shown(folder / "tickets.csv")
    return "\n".join(
        [
            "",
            "what to type next",
            f"  {program} results last                     every answer, one JSON line a ticket",
            f"  {program} costs last --by step,tier,model  where the money went",
            f"  {program} rejects last                     rows that could not be read, and why",
            f"  {program} run {job} {tickets} --output answers.csv",
        ]
    )


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
