"""models tune: the fastest format for this machine, proved on our own sample tickets."""

import csv

import click
from rich.table import Table

from pipeline import samples
from pipeline.cli.models import models
from pipeline.cli.terminal import err, examples, json_option, out, print_json
from pipeline.domain.errors import ConfigError
from pipeline.domain.steps import Choice
from pipeline.flow.scoring import gold_lines
from pipeline.ports.engine import Ask
from pipeline.prompts import question_of
from pipeline.settings import load_settings
from pipeline.wiring.inputs import job_from
from pipeline.wiring.parts import system_clock
from pipeline.wiring.tuning import FORMATS, Sample
from pipeline.wiring.tuning import tune as tune_model

_MB = 1e6


def ticket_sample() -> Sample:
    """Return the sample tickets' classify and sentiment questions with their gold answers."""
    job = job_from(samples.path("tickets.toml"))
    with samples.path("tickets.csv").open(encoding="utf-8", newline="") as file:
        texts = {row["ticket_id"]: f"{row['subject']}\n\n{row['body']}" for row in csv.DictReader(file, strict=True)}
    gold = list(gold_lines(samples.path("tickets.gold.jsonl").read_text(encoding="utf-8").splitlines()))
    asks: list[Ask] = []
    right: list[str] = []
    for step in job.steps:
        question = question_of(step)
        if isinstance(question.form, Choice):
            for line in gold:
                asks.append(Ask(question=question, text=texts[line.key], on_long="truncate"))
                right.append(str(line.answers[step.name]))
    return Sample(name="the sample tickets", asks=asks, gold=right)


@models.command()
@click.argument("name")
@click.option("--formats", default=",".join(FORMATS), show_default=True, help="To try, separated by commas.")
@json_option
@examples(
    "headrace models tune qwen2.5-coder-0.5b-instruct",
    "headrace models tune qwen2.5-coder-1.5b-instruct --formats q4_0,q8_0 --json",
)
def tune(name: str, formats: str, as_json: bool) -> None:  # noqa: FBT001
    """Find the number format that this machine reads fastest, prove that answers hold, and use it from then on.

    The model is written again in each format and timed. The fastest answers the sample tickets, and is taken when it is
    no more than a point worse than the shipped file by their gold answers. Takes minutes, and some room on the disk;
    a tuned file has a hash of its own, so that nothing that was calibrated for another file is used with it.
    """
    wanted = [one.strip() for one in formats.split(",") if one.strip()]
    unknown = [one for one in wanted if one not in FORMATS]
    if unknown or not wanted:
        raise ConfigError(f"--formats takes {', '.join(FORMATS)}; unknown: {', '.join(unknown) or 'none given'}")
    clock = system_clock()
    record = tune_model(
        name, wanted, ticket_sample(), load_settings(), clock=clock, say=lambda what: err.print(what, markup=False)
    )
    if as_json:
        print_json(record.as_json())
        return
    table = Table()
    for column in ("format", "MB", "reads tokens/s", "writes tokens/s", "against shipped"):
        table.add_column(column, justify="left" if column == "format" else "right")
    shipped = record.speeds[0].read_tokens_per_s
    for one in record.speeds:
        table.add_row(
            f"{one.format} ←" if one.format == record.format else one.format,
            f"{one.size_bytes / _MB:,.0f}",
            f"{one.read_tokens_per_s:,.0f}",
            f"{one.write_tokens_per_s:,.0f}",
            f"{one.read_tokens_per_s / shipped:.2f} x",
        )
    out.print(table)
    found = record.agreement
    if found is not None and found.shipped_accuracy is not None and found.tuned_accuracy is not None:
        out.print(
            f"{found.answers} answers on {found.sample}: {found.same:.1%} the same, accuracy "
            f"{found.shipped_accuracy:.1%} shipped, {found.tuned_accuracy:.1%} tuned; probability changed by "
            f"{found.median_change:.3f} (median), {found.largest_change:.3f} (largest)",
            markup=False,
        )
    out.print(f"{name} is used as {record.format} from now on", markup=False)
