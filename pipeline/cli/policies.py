"""policy: thresholds as data, with a history: shown, proposed, applied by a person."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from pipeline.cli.main import commands
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import err, examples, json_option, out, print_json
from pipeline.domain.job import Job
from pipeline.domain.review import Change, Proposal
from pipeline.settings import load_settings
from pipeline.wiring.inputs import written_job
from pipeline.wiring.parts import system_clock
from pipeline.wiring.policies import (
    DEFAULT_TOLERANCE,
    apply_proposal,
    history,
    proposed,
    proposed_from_runs,
    review,
    write_proposal,
)

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_JOB = click.argument("job_file", metavar="JOB", type=_FILE)


@commands.group()
@examples(
    "headrace policy show job.toml",
    "headrace policy propose job.toml --output proposal.toml",
    "headrace policy apply proposal.toml job.toml",
    "headrace policy history job.toml",
)
def policy() -> None:
    """Review the thresholds of a job: shown, proposed from an evaluation, applied by a person, kept in a history."""


@policy.command()
@_JOB
@json_option
@examples("headrace policy show job.toml", "headrace policy show job.toml --json")
def show(job_file: Path, *, as_json: bool) -> None:
    """Show from which confidence on each tier is believed, and where that comes from.

    `certified`: the step has a target, and its thresholds are made for each run (see `headrace certificates`).
    """
    job = written_job(job_file)
    rows = [_in_force(job, step_no, tier_no) for step_no in range(len(job.steps)) for tier_no in job.ladder(step_no)]
    if as_json:
        print_json({"job": job.name, "thresholds": rows})
        return
    table = _table("step", "tier", "least confidence accepted", "from")
    for row in rows:
        least = row["threshold"]
        table.add_row(
            str(row["step"]), str(row["tier"]), "anything" if least is None else f"{least:.4f}", str(row["from"])
        )
    out.print(table)


def _in_force(job: Job, step_no: int, tier_no: int) -> dict[str, object]:
    step, tier = job.steps[step_no], job.tiers[tier_no]
    named = {step.name, "default"} & (tier.accept_at or {}).keys()
    source = "certified" if job.is_certified(step_no, tier_no) else "job" if named else "default"
    return {"step": step.name, "tier": tier.name, "threshold": job.threshold(step_no, tier_no), "from": source}


@policy.command()
@_JOB
@click.option(
    "--from", "evaluation", default="last", show_default=True, help="Name of the evaluation, or its beginning."
)
@click.option("--runs", "from_runs", is_flag=True, help="From the certificates of this job's latest runs instead.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0, max=0.2),
    default=DEFAULT_TOLERANCE,
    show_default=True,
    help="How much less right than the best threshold is good enough.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the proposal here, as TOML.")
@json_option
@examples(
    "headrace eval job.toml tickets.csv --labels gold.jsonl",
    "headrace policy propose job.toml --output proposal.toml",
    "headrace policy propose job.toml --from support-tickets-1a2b --tolerance 0.01 --json",
    "headrace policy propose job.toml --runs --output proposal.toml",
)
def propose(
    job_file: Path, evaluation: str, tolerance: float, output: Path | None, *, from_runs: bool, as_json: bool
) -> None:
    """Propose thresholds from an evaluation or from recent runs; nothing is changed.

    For each step without a target: the cheapest threshold at which the cascade is right as often as at its best, less
    --tolerance, on the texts of the evaluation. With --runs, for each step with a target: what no certificate of late
    has let stand, less .05, need not be held and goes up at once.
    """
    settings, job = load_settings(), written_job(job_file)
    if from_runs:
        with opened_store() as store:
            found = proposed_from_runs(job, store, clock=system_clock())
    else:
        found = proposed(job, evaluation, settings, tolerance=tolerance, clock=system_clock())
    if output is not None:
        write_proposal(output, found)
        err.print(f"written to {output}: read it, then `headrace policy apply {output} {job_file}`", soft_wrap=True)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _show_proposal(found)


def _show_proposal(found: Proposal) -> None:
    if not found.change:
        out.print(f"{found.evaluation}: the thresholds are as good as any", markup=False)
        return
    out.print(_changes(found.change))
    for one in found.expected:
        costs = ""
        if one.usd_per_item_now is not None and one.usd_per_item_then is not None:
            costs = f", USD a million texts {one.usd_per_item_now * 1e6:,.2f} → {one.usd_per_item_then * 1e6:,.2f}"
        out.print(
            f"{one.step}: right {one.accuracy_now:.1%} → {one.accuracy_then:.1%} of {one.texts:,} texts{costs}",
            markup=False,
        )


@policy.command("review")
@_JOB
@json_option
@examples("headrace policy review job.toml", "headrace policy review job.toml --json")
def review_command(job_file: Path, *, as_json: bool) -> None:
    """Write a proposal if the job's [review] is due, for a timer of your own; `headrace up JOB` does it by itself.

    The file is named by its day, in the folder policies/NAME of HEADRACE_HOME. A job without [review] has none due.
    """
    job = written_job(job_file)
    with opened_store() as store:
        path = review(job, store, load_settings(), clock=system_clock())
    if as_json:
        print_json({"job": job.name, "proposal": None if path is None else str(path)})
    elif path is None:
        out.print(f"no review of {job.name} is due, or there is nothing yet to make a proposal from", markup=False)
    else:
        out.print(f"{path}: read it, then `headrace policy apply {path} {job_file}`", markup=False, soft_wrap=True)


@policy.command()
@click.argument("proposal", type=_FILE)
@_JOB
@json_option
@examples("headrace policy apply proposal.toml job.toml")
def apply(proposal: Path, job_file: Path, *, as_json: bool) -> None:
    """Put a proposal's thresholds into JOB, which keeps its comments, and into its history.

    Another threshold is another job: the next `run` over the same input is a new run.
    """
    applied = apply_proposal(proposal, job_file, load_settings(), clock=system_clock())
    if as_json:
        print_json(applied.model_dump(mode="json"))
        return
    out.print(_changes(applied.change))
    out.print(f"{job_file} has these thresholds now", markup=False)


@policy.command("history")
@_JOB
@json_option
@examples("headrace policy history job.toml", "headrace policy history job.toml --json")
def history_command(job_file: Path, *, as_json: bool) -> None:
    """Show what was applied to a job on this machine: when, by whom, from which evaluation."""
    job = written_job(job_file)
    found = history(job.name, load_settings())
    if as_json:
        print_json({"job": job.name, "applied": [one.model_dump(mode="json") for one in found]})
        return
    if not found:
        out.print(f"nothing has been applied to job {job.name} here", markup=False)
    for one in found:
        out.print(f"{one.at} by {one.by}, from evaluation {one.evaluation}", markup=False)
        out.print(_changes(one.change))


def _changes(changes: Sequence[Change]) -> Table:
    table = _table("step", "tier", "now", "proposed")
    for one in changes:
        table.add_row(one.step, one.tier, "anything" if one.now is None else f"{one.now:.4f}", f"{one.proposed:.4f}")
    return table


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="left" if column in {"step", "tier", "from"} else "right")
    return table
