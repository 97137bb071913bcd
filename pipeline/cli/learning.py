"""learn: teach a job's tiers from known answers."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import err, examples, input_options, json_option, out, print_json
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job
from pipeline.flow.scoring import GoldLine
from pipeline.ports.source import SourceOptions
from pipeline.settings import load_settings
from pipeline.wiring.inputs import written_job
from pipeline.wiring.labelling import export_labels
from pipeline.wiring.learning import TaughtTier, learn, learning_tiers
from pipeline.wiring.samples import Sample, export_sample, items_of, known_sample, read_gold, top_answers

_MOST_DRAWN_FROM = 1_000_000
_ASKED_LABELLED = 1000
_ASKED_UNLABELLED = 200
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@commands.command("learn")
@click.argument("job_file", metavar="JOB", type=_FILE)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--labels", type=_FILE, help="Right answers to INPUT: JSON Lines of `key` and an answer for each step.")
@click.option("--run", "run", help="Take the answers of this run's top tier for right ones; `last` is the latest.")
@click.option(
    "--unlabelled", is_flag=True, help="No answers are known: only take from models their liking for some labels."
)
@click.option(
    "--export-sample",
    "export",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Only draw texts and write them here (.csv), to be labelled; with --run those that its certificate waits for.",
)
@click.option(
    "--sample",
    "sample_size",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="How many texts --export-sample draws.",
)
@click.option("--tier", "tiers", multiple=True, help="Teach this tier only; may be given again.")
@click.option(
    "--items",
    "most_asked",
    type=click.IntRange(min=1),
    default=None,
    show_default="1000; with --unlabelled 200",
    help="How many texts of each step a model is asked at most; words learn from all.",
)
@input_options
@json_option
@examples(
    "headrace learn job.toml tickets.csv --labels gold.jsonl",
    "headrace learn job.toml tickets.csv --run last  # from what the top tier answered",
    "headrace learn job.toml tickets.csv --export-sample label-me.csv --sample 400",
    "headrace learn job.toml tickets.csv --labels label-me.csv",
    "headrace learn job.toml tickets.csv --labels gold.jsonl --tier words --json",
    "headrace learn job.toml tickets.csv --unlabelled  # before anybody knows an answer",
)
def learn_command(
    job_file: Path,
    inputs: tuple[str, ...],
    labels: Path | None,
    run: str | None,
    tiers: tuple[str, ...],
    most_asked: int | None,
    export: Path | None,
    sample_size: int,
    input_format: str | None,
    encoding: str,
    *,
    unlabelled: bool,
    as_json: bool,
) -> None:
    """Teach the tiers of a job from known answers; runs that are made from then on use what they learned.

    Tiers that learn are those with engine = "classical", which choose a label by the words of a text in microseconds
    (and with `encoder = "all-minilm-l6-v2"` by a sentence encoder's vector of it), and llama tiers with
    `learned = "a-name"`: on the model's hidden states a head learns to choose among the labels, and of records and
    labels alike it learns how sure to be. All figures shown are of answers to texts that were not learned from.

    A line of --labels is, say, {"key": "T-1", "category": "billing", "mood": null}: the job's `key` as a string, or
    without one the line's number ("7", with several inputs "2:7"), and an answer to any of the steps. For a step with
    labels `null` says that none fits: such texts are sent up from then on. 40 texts of a step are the least. Or it is a
    table that --export-sample drew at random from INPUT and that people filled in: a column for each step, or for each
    field of a record (`null` where the text does not say); rows and steps that are left empty are passed over.

    With --unlabelled nothing is known of any answer. Small models like some labels more than others, whatever the text:
    half of what a llama tier with `learned` gives to each label over INPUT is taken from it in runs from then on. That
    mostly makes weak models right more often, tells nothing of how sure to be, and is replaced by what labels teach.

    What is kept are numbers, no texts; it holds for these labels, this question and this very model file, and is
    refused with any other. It lies in the folder `learned` of HEADRACE_MODELS, to be copied to machines of other
    workers. A run that was made before goes on with what it began with.
    """
    settings = load_settings()
    job = written_job(job_file)
    options = SourceOptions(format=input_format, encoding=encoding)
    if export is not None:
        if labels is not None or unlabelled:
            raise ConfigError("--export-sample only draws texts: leave out --labels and --unlabelled")
        if run is not None:
            _export_drawn(run, export)
            return
        items = items_of(job, inputs, options, settings, most_items=_MOST_DRAWN_FROM)
        count = export_sample(job, items, sample_size, export)
        _say(f"{count:,} texts drawn from {len(items):,} into {export}: fill in the columns, then give it as --labels")
        return
    if [labels is None, run is None, not unlabelled].count(False) != 1:
        raise ConfigError(
            "say where the right answers are: --labels FILE, or --run RUN (its top tier's), or --unlabelled where "
            "nobody knows any; one of them"
        )
    numbers = learning_tiers(job, tiers, labelled=not unlabelled)
    if unlabelled:
        sample = known_sample(
            job, inputs, None, settings, name=f"job {job.name}", most_items=_MOST_DRAWN_FROM, options=options
        )
        _teach(job, numbers, sample, most_asked or _ASKED_UNLABELLED, as_json=as_json)
        return
    gold = _top_answers(job, run) if run is not None else read_gold(labels, job) if labels is not None else []
    if not gold:
        raise ConfigError(
            f"{labels} has no answers yet: fill in its columns"
            if labels is not None
            else f"run {run} has no answers of its top tiers: nothing to learn from"
        )
    sample = known_sample(job, inputs, gold, settings, name=f"job {job.name}", options=options)
    _teach(job, numbers, sample, most_asked or _ASKED_LABELLED, as_json=as_json)


def _teach(job: Job, numbers: Sequence[int], sample: Sample, most_asked: int, *, as_json: bool) -> None:
    taught: list[TaughtTier] = []
    with Display() as display:
        for one in learn(job, numbers, sample, load_settings(), most_asked=most_asked, say=_say, show=display.bar):
            taught.append(one)
            for reason in one.left_out:
                _say(f"{one.tier} left out {reason}")
    if as_json:
        print_json({"job": job.name, "tiers": [one.as_json() for one in taught]})
    else:
        _show(taught)


def _export_drawn(run: str, file: Path) -> None:
    with opened_store() as store:
        record = store.find_run(run)
        count = export_labels(store, record, ("drawn",), file)
    if count:
        _say(f"{count:,} texts drawn in {record.name} into {file}: fill it in, then give it to headrace labels import")
    else:
        _say(f'{record.name} waits for no labels: its job needs a [target] with reference = "labels"')


def _top_answers(job: Job, run: str) -> list[GoldLine]:
    with opened_store() as store:
        record = store.find_run(run)
        if record.job.name != job.name:
            raise ConfigError(f"run {record.name} is of another job than {job.name}: name a run of this job with --run")
        return top_answers(record.job, store.results(record.id))


def _say(what: str) -> None:
    err.print(what, markup=False, soft_wrap=True)


def _show(taught: Sequence[TaughtTier]) -> None:
    table = Table()
    for column in ("tier", "step", "learned from", "right before", "right now", "log loss", "as said", "ECE excess"):
        table.add_column(column, justify="left" if column in {"tier", "step"} else "right")
    for tier in taught:
        for one in tier.steps:
            figures = one.figures
            if figures is None:
                table.add_row(tier.tier, one.step, *["-"] * 6)
                continue
            table.add_row(
                tier.tier,
                one.step,
                f"{figures.rows:,}",
                "-" if figures.before is None else f"{figures.before:.1%}",
                f"{figures.accuracy:.1%}",
                f"{figures.log_loss:.3f}",
                f"{figures.plain_log_loss:.3f}",
                f"{figures.ece_excess:+.3f}",
            )
    out.print(table)
    for tier in taught:
        out.print(f"{tier.tier} learned {tier.pinned}; runs that are made from now on use it", markup=False)
        halves = [one.step for one in tier.steps if one.half]
        if halves:
            out.print(f"{tier.tier} is read halfway up only for {', '.join(halves)}: that tells as much", markup=False)
