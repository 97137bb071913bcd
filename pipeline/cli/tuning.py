"""models tune and compare: number formats on this machine, timed, and proved on a sample."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from rich.table import Table

from pipeline import samples
from pipeline.cli.models import models
from pipeline.cli.progress import Display
from pipeline.cli.terminal import err, examples, input_options, json_option, out, print_json
from pipeline.domain.errors import ConfigError
from pipeline.domain.tiers import BUILT_IN_TEMPLATES
from pipeline.ports.source import SourceOptions
from pipeline.settings import Settings, load_settings
from pipeline.wiring.comparing import FormatFigures, StepFigures, compare
from pipeline.wiring.formats import FORMATS
from pipeline.wiring.inputs import written_job
from pipeline.wiring.parts import other_work, system_clock
from pipeline.wiring.samples import Sample, job_sample, own_sample
from pipeline.wiring.tuning import TunedRecord
from pipeline.wiring.tuning import tune as tune_model

P = ParamSpec("P")
R = TypeVar("R")

_MB = 1e6
_CHOICES = ("classify", "sentiment")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def ticket_sample(settings: Settings, kinds: Sequence[str] | None = None) -> Sample:
    """Return the sample tickets' questions, of some kinds of step or all, with their gold answers."""
    return job_sample(
        written_job(samples.path("tickets.toml")),
        [str(samples.path("tickets.csv"))],
        samples.path("tickets.gold.jsonl"),
        settings,
        name="the sample tickets",
        kinds=kinds,
    )


def _formats_option(command: Callable[P, R]) -> Callable[P, R]:
    text = "Number formats to try, separated by commas."
    return click.option("--formats", default=",".join(FORMATS), show_default=True, help=text)(command)


def _sample_option(command: Callable[P, R]) -> Callable[P, R]:
    text = (
        "Your own texts, JSON Lines with `text` and `label` (which label fits is asked), or with `text` only (the mood "
        "is asked, and the shipped file's answers are the measure) [default: the sample tickets]."
    )
    return click.option("--sample", "sample_file", type=_FILE, help=text)(command)


def _template_option(command: Callable[P, R]) -> Callable[P, R]:
    text = "Chat template for a base model, whose file has none."
    return click.option("--template", type=click.Choice(BUILT_IN_TEMPLATES), help=text)(command)


def _wanted(formats: str) -> list[str]:
    wanted = [one.strip() for one in formats.split(",") if one.strip()]
    unknown = [one for one in wanted if one not in FORMATS]
    if unknown or not wanted:
        raise ConfigError(f"--formats takes {', '.join(FORMATS)}; unknown: {', '.join(unknown) or 'none given'}")
    return list(dict.fromkeys(wanted))


def _say(what: str) -> None:
    err.print(what, markup=False, soft_wrap=True)


def warn_of_other_work() -> None:
    """Tell people that a measurement which begins now is not to be relied on, where that is so."""
    warning = other_work()
    if warning is not None:
        _say(f"note: {warning}")


@models.command()
@click.argument("name", metavar="NAME")
@_formats_option
@_sample_option
@_template_option
@click.option("--heads", is_flag=True, help="Prove a format by what heads learn, for tiers with `learned` alone.")
@json_option
@examples(
    "headrace models tune qwen2.5-coder-0.5b-instruct",
    "headrace models tune gemma-3-270m --template plain --heads",
    "headrace models tune qwen2.5-coder-0.5b-instruct --sample mine.jsonl",
    "headrace models tune qwen2.5-coder-1.5b-instruct --formats q4_0,q8_0 --json",
)
def tune(
    name: str,
    formats: str,
    sample_file: Path | None,
    template: str | None,
    *,
    heads: bool,
    as_json: bool,
) -> None:
    """Find the number format that this machine reads fastest, prove that answers hold, and use it from then on.

    The model is written again in each format and timed. The fastest answers the sample, and is taken when it is no more
    than a point worse than the shipped file by the gold answers (without these, when 90 % are the same). In that format
    the best number of threads and of tokens read at once is measured, and used too. A tuned file has a hash of its own,
    so that nothing that was calibrated for another file is used with it: tune first, then `bench engine` and `learn`.

    With --heads what must be no worse is what heads on the model choose, of texts that they did not learn from: a small
    model's own answers tip easily, what it makes of a text does not. Only llama tiers that have learned something use
    that format; others go on with what was found without --heads. Steps that such a tier answers by itself (records,
    choices where no head was better) are answered in that format too, unproved: `learn` says which.

    NAME is one of the catalogue; a base model needs a --template. Let nothing else run meanwhile. It takes minutes for
    a 0.5B, and longer in proportion for larger models. All formats lie on the disk until it is done:
    about 7 bytes for each parameter in all, of which --formats spares what you leave out. Texts are cut at 512 tokens.
    To undo it, delete NAME.json (or NAME.heads.json) in the folder `tuned` of the models, and NAME.FORMAT.gguf there
    unless the other names that format, too.
    """
    wanted = _wanted(formats)
    settings = load_settings()
    sample = ticket_sample(settings, _CHOICES) if sample_file is None else own_sample(sample_file)
    warn_of_other_work()
    with Display() as display:
        record = tune_model(
            name,
            wanted,
            sample,
            settings,
            template=template,
            heads=heads,
            clock=system_clock(),
            say=_say,
            show=display.bar,
        )
    if as_json:
        print_json(record.as_json())
    else:
        _show_tuned(record)


def _show_tuned(record: TunedRecord) -> None:
    table = _table("format", "MB", "reads tokens/s", "writes tokens/s", "against shipped")
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
    if found is not None:
        who = "heads are right on" if record.heads else "accuracy"
        right = (
            ""
            if found.shipped_accuracy is None or found.tuned_accuracy is None
            else f", {who} {found.shipped_accuracy:.1%} shipped, {found.tuned_accuracy:.1%} tuned"
        )
        out.print(
            f"{found.answers} answers on {found.sample}: {found.same:.1%} the same{right}; probability changed by "
            f"{found.median_change:.3f} (median), {found.largest_change:.3f} (largest)",
            markup=False,
        )
    threads = ", ".join(f"{one.threads}: {one.read_tokens_per_s:,.0f}" for one in record.thread_speeds)
    batches = ", ".join(f"{one.batch_tokens}: {one.read_tokens_per_s:,.0f}" for one in record.batch_speeds)
    out.print(f"threads {record.threads} (reads tokens/s: {threads})", markup=False)
    out.print(f"tokens read at once {record.batch_tokens} (reads tokens/s: {batches})", markup=False)
    users = " by tiers with `learned`" if record.heads else ""
    out.print(f"{record.model} is used as {record.format} from now on{users}", markup=False)
    out.print("what tiers learned with another file of it, they learn again: headrace learn JOB", markup=False)


@models.command("compare")
@click.argument("name")
@click.argument("inputs", metavar="[INPUT...]", nargs=-1)
@_formats_option
@_sample_option
@_template_option
@click.option("--job", "job_file", type=_FILE, help="Compare on this job's steps, over INPUT.")
@click.option("--gold", type=_FILE, help="The right answers to INPUT: JSON Lines of `key` and an answer per step.")
@click.option("--items", "most_items", type=click.IntRange(min=1), default=256, show_default=True, help="Of INPUT.")
@input_options
@json_option
@examples(
    "headrace models compare qwen2.5-coder-0.5b-instruct --formats q4_0,f16",
    "headrace models compare qwen2.5-coder-0.5b-instruct --sample mine.jsonl --json",
    "headrace models compare qwen2.5-coder-0.5b-instruct --job job.toml --gold gold.jsonl tickets.csv",
)
def compare_command(
    name: str,
    inputs: tuple[str, ...],
    formats: str,
    sample_file: Path | None,
    template: str | None,
    job_file: Path | None,
    gold: Path | None,
    most_items: int,
    input_format: str | None,
    encoding: str,
    *,
    as_json: bool,
) -> None:
    """Show what each number format of a model costs and gives, step by step: size, speed, accuracy, calibration.

    By default on the sample tickets. Nothing is kept: `models tune` is the command that puts a format to use. NAME is
    one of the catalogue; a base model needs a --template. Texts are cut at 512 tokens, whatever the job says, and a
    step is asked by itself. Every format is timed and answers all of the sample, which takes minutes each for a 0.5B;
    one at a time lies on the disk, up to 2 bytes for each parameter.

    A line of --gold is, say, {"key": "T-1", "category": "billing"}: the job's `key` as a string, or without one the
    line's number ("7", with several inputs "2:7"), and an answer to any of the steps.

    ECE is the expected calibration error of the model's own probabilities over ten bins of equally many answers;
    `excess` is how much of it chance does not explain, since even true probabilities miss a little in so few answers.
    """
    wanted = _wanted(formats)
    settings = load_settings()
    if job_file is None and (inputs or gold is not None):
        raise ConfigError("INPUT and --gold go with --job: name the job whose steps are to be asked")
    if job_file is not None and (sample_file is not None or not inputs):
        raise ConfigError("--job needs its INPUT, and no --sample beside it")
    if job_file is not None:
        job = written_job(job_file)
        options = SourceOptions(format=input_format, encoding=encoding)
        sample = job_sample(job, inputs, gold, settings, name=f"job {job.name}", most_items=most_items, options=options)
    else:
        sample = ticket_sample(settings) if sample_file is None else own_sample(sample_file)
    warn_of_other_work()
    with Display() as display:
        found = compare(name, wanted, sample, settings, template=template, say=_say, show=display.bar)
    if as_json:
        steps = {step.name: len(step.texts) for step in sample.steps}
        print_json(
            {"model": name, "sample": sample.name, "answers": steps, "formats": [one.as_json() for one in found]}
        )
    else:
        show_compared(found)


def show_compared(found: Sequence[FormatFigures]) -> None:
    """Print what each number format costs and gives."""
    speeds = _table("format", "MB", "reads tokens/s", "writes tokens/s")
    steps = _table("step", "format", "right", "as shipped", "ECE", "excess")
    for one in found:
        speeds.add_row(
            one.format,
            f"{one.size_bytes / _MB:,.0f}",
            f"{one.read_tokens_per_s:,.0f}",
            f"{one.write_tokens_per_s:,.0f}",
        )
    for number in range(len(found[0].steps)):
        for one in found:
            _add_step(steps, one.format, one.steps[number])
    out.print(speeds)
    out.print(steps)


def _add_step(table: Table, to: str, step: StepFigures) -> None:
    """Add a step's row, and one below it for each field of its record."""
    table.add_row(
        step.step,
        to,
        "-" if step.accuracy is None else f"{step.accuracy:.1%}",
        f"{step.agreement:.1%}",
        "-" if step.ece is None else f"{step.ece:.3f}",
        "-" if step.ece_excess is None else f"{step.ece_excess:+.3f}",
    )
    for name, share in step.fields.items():
        table.add_row(f"  {name}", "", f"{share:.1%}")


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="left" if column in {"format", "step"} else "right")
    return table
