"""eval: the same labelled texts through every tier and through the cascade."""

from collections.abc import Sequence
from pathlib import Path

import click

from pipeline.cli.evaluation_tables import moved_table, remarks, step_table
from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.terminal import err, examples, input_options, json_option, out, print_json
from pipeline.cli.tuning import show_compared, warn_of_other_work
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job
from pipeline.flow.evaluation import Evaluation, evaluation_json, moved
from pipeline.flow.samples import gold_by_key
from pipeline.ports.source import SourceOptions
from pipeline.settings import load_settings
from pipeline.wiring.comparing import compare
from pipeline.wiring.evaluating import ask_all, evaluated, hard_keys, kept_evaluation, labelled_steps, page_of
from pipeline.wiring.formats import FORMATS
from pipeline.wiring.inputs import job_from, written_job
from pipeline.wiring.parts import price_book_for, system_clock
from pipeline.wiring.samples import items_of, known_sample, read_gold

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PAGE = click.Path(dir_okay=False, path_type=Path)


class _JobFirst(click.Group):
    """Takes `eval JOB …` for `eval job JOB …`: the command that is meant nearly always needs no name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["job", *args]
        return super().resolve_command(ctx, args)


@commands.group("eval", cls=_JobFirst)
@examples(
    "headrace eval job.toml tickets.csv --labels gold.jsonl",
    "headrace eval job.toml tickets.csv --labels gold.jsonl --html report.html",
    "headrace eval show last --html report.html",
    "headrace eval diff support-tickets-1a2b last",
)
def eval_group() -> None:
    """Evaluate a job on labelled texts: every tier alone, and the cascade. `eval JOB` is short for `eval job JOB`."""


@eval_group.command("job")
@click.argument("job_file", metavar="JOB", type=_FILE)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--labels", type=_FILE, required=True, help="Right answers: JSON Lines of `key` and an answer per step.")
@click.option("--hard", type=_FILE, help="Keys of hard texts, one a line: a slice of their own in all figures.")
@click.option("--items", "most_items", type=click.IntRange(min=1), default=1000, show_default=True, help="At most.")
@click.option("--paid", is_flag=True, help="Ask endpoints too, which cost money.")
@click.option("--quant", is_flag=True, help="Compare the number formats of the job's local models instead.")
@click.option(
    "--html", "page", type=_PAGE, help="Write a report with plots here: one file, nothing loaded from outside."
)
@input_options
@json_option
@examples(
    "headrace eval job.toml tickets.csv --labels gold.jsonl",
    "headrace eval job.toml tickets.csv --labels gold.jsonl --hard hard.txt --html report.html",
    "headrace eval job.toml tickets.csv --labels gold.jsonl --json",
)
def job_command(
    job_file: Path,
    inputs: tuple[str, ...],
    labels: Path,
    hard: Path | None,
    most_items: int,
    page: Path | None,
    input_format: str | None,
    encoding: str,
    *,
    paid: bool,
    quant: bool,
    as_json: bool,
) -> None:
    """Ask every tier all labelled texts, and show what each gets right, and what the cascade makes of them.

    The cascade accepts as the job's thresholds say. For a step with a target it accepts from the common confidence on
    that would just keep the target on these texts: the best that a certificate could allow, in hindsight.

    A line of --labels is, say, {"key": "T-1", "category": "billing", "difficulty": "hard"}: the job's `key` as a string
    (or the line's number), an answer to any of the steps, and a group of your own, which becomes a slice. "hard fifth"
    is the accuracy on the texts that the first tier is least sure of. No servers are needed and no run is made. What is
    kept, in the folder `evaluations` of HEADRACE_HOME, holds no texts; `eval diff` compares two.

    --quant does for each local model what `headrace models compare` does, on the same texts: size, speed, accuracy and
    calibration error of each number format, every step asked by itself. Nothing is kept.
    """
    settings = load_settings()
    options = SourceOptions(format=input_format, encoding=encoding)
    if quant:
        _compare_formats(job_file, inputs, labels, options, most_items, as_json=as_json)
        return
    job = job_from(job_file, settings)
    refuse_costs(job, paid=paid)
    gold = gold_by_key(read_gold(labels, job))
    items = items_of(job, inputs, options, settings, most_items=most_items, keys=gold.keys())
    with Display() as display:
        labelled = labelled_steps(job, items, gold)
        asked = ask_all(
            job,
            labelled,
            price_book_for(settings),
            settings,
            hard=hard_keys(hard),
            clock=system_clock(),
            say=_say,
            show=display.bar,
        )
    found = evaluated(job, labelled, asked, settings, clock=system_clock())
    _report(found, page, as_json=as_json)


@eval_group.command()
@click.argument("name", default="last")
@click.option("--html", "page", type=_PAGE, help="Write the report with plots here.")
@json_option
@examples("headrace eval show last", "headrace eval show support-tickets-1a2b --html report.html")
def show(name: str, page: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Show an evaluation again. NAME is its name, the beginning of it, or `last`."""
    _report(kept_evaluation(name, load_settings()), page, as_json=as_json)


@eval_group.command()
@click.argument("before")
@click.argument("after", default="last")
@json_option
@examples(
    "headrace eval diff support-tickets-1a2b", "headrace eval diff support-tickets-1a2b support-tickets-3c4d --json"
)
def diff(before: str, after: str, as_json: bool) -> None:  # noqa: FBT001
    """Tell what moved between two evaluations, on the texts that both have.

    The interval holds the true change 95 times in 100 (paired bootstrap); a change whose interval has no 0 in it is
    marked. `gained` and `lost` are texts that became right and wrong.
    """
    settings = load_settings()
    found = moved(kept_evaluation(before, settings), kept_evaluation(after, settings))
    if not found:
        raise ConfigError("the two evaluations have no text and way of answering in common")
    if as_json:
        print_json({"moved": [one.model_dump(mode="json") for one in found]})
        return
    out.print(moved_table(found))


def _compare_formats(
    job_file: Path, inputs: Sequence[str], labels: Path, options: SourceOptions, most_items: int, *, as_json: bool
) -> None:
    settings = load_settings()
    job = written_job(job_file)
    models = {tier.model: tier.chat_template for tier in job.tiers if tier.engine == "llama"}
    if not models:
        raise ConfigError(f"job {job.name} has no llama tier: there are no number formats to compare")
    gold = read_gold(labels, job)
    sample = known_sample(job, inputs, gold, settings, name=f"job {job.name}", most_items=most_items, options=options)
    warn_of_other_work()
    found = {}
    with Display() as display:
        for model, template in models.items():
            found[model] = compare(model, FORMATS, sample, settings, template=template, say=_say, show=display.bar)
    if as_json:
        print_json({"models": {model: [one.as_json() for one in formats] for model, formats in found.items()}})
        return
    for model, formats in found.items():
        out.print(model, markup=False)
        show_compared(formats)


def refuse_costs(job: Job, *, paid: bool) -> None:
    """Raise ConfigError where endpoints would be asked and nobody has allowed that."""
    endpoints = [tier.name for tier in job.tiers if tier.engine == "openai"]
    if endpoints and not paid:
        raise ConfigError(
            f"every labelled text would be asked of {', '.join(endpoints)}, which costs money: allow it with --paid, "
            "or evaluate a job without"
        )


def _report(found: Evaluation, page: Path | None, *, as_json: bool) -> None:
    if page is not None:
        try:
            page.write_text(page_of(found), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{page} cannot be written: {error.strerror}; name another file with --html") from None
        _say(f"report written to {page}")
    if as_json:
        print_json(evaluation_json(found))
        return
    for step in found.steps:
        out.print(step_table(step))
        for line in remarks(step):
            out.print(line, markup=False, soft_wrap=True)
    out.print(f"kept as {found.name}", markup=False)


def _say(what: str) -> None:
    err.print(what, markup=False, soft_wrap=True)
