"""logs: the kinds of lines in log files, and what varies in them."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.table import Table
from rich.text import Text

from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.terminal import err, examples, input_options, json_option, json_text, out, print_json
from pipeline.domain.logs.headers import LAYOUTS
from pipeline.flow.logs import Survey
from pipeline.ports.source import Row, Source, SourceOptions
from pipeline.settings import load_settings
from pipeline.wiring.inputs import opened_lines

_INPUTS = click.argument("inputs", metavar="FILE...", nargs=-1, required=True)
LAYOUT = click.option(
    "--layout",
    type=click.Choice(sorted(LAYOUTS)),
    help="How headers are laid out [default: found out file by file].",
)


@commands.group()
@examples("headrace logs templates /var/log/syslog*", "headrace logs entities app.log.gz > entities.jsonl")
def logs() -> None:
    """Look at log files: which kinds of lines there are, and what varies in them.

    Lines are masked by what values look like, and put together where they differ only in values; no model is asked and
    nothing has to be configured. Files may be gzipped, `-` is standard input. They are read twice: one that is written
    to meanwhile is refused, so pipe it in (`cat app.log | headrace logs templates -`).
    """


@logs.command()
@_INPUTS
@LAYOUT
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many the table shows.")
@input_options
@json_option
@examples(
    "headrace logs templates app.log",
    "headrace logs templates '/var/log/syslog*' --limit 20",
    "journalctl | headrace logs templates - --json",
)
def templates(
    inputs: tuple[str, ...],
    layout: str | None,
    limit: int,
    input_format: str | None,
    encoding: str,
    *,
    as_json: bool,
) -> None:
    """Count the kinds of lines, the commonest first."""
    with _surveyed(inputs, layout, input_format, encoding) as (survey, _):
        if as_json:
            print_json(survey.as_json())
            return
        found = survey.templates()
        table = Table("lines", "share", "template", "first")
        for one in found[:limit]:
            where = f"{one.source}:{one.line}"
            table.add_row(f"{one.lines:,}", f"{one.lines / survey.lines:.1%}", Text(one.template), Text(where))
        out.print(table)
        kinds = ", ".join(f"{source} {how.name}" for source, how in survey.layouts.items())
        more = f"; {len(found) - limit:,} more, see --limit" if len(found) > limit else ""
        out.print(f"{survey.lines:,} lines of {len(found):,} kinds{more}", markup=False)
        err.print(f"headers: {kinds}", markup=False, soft_wrap=True)


@logs.command()
@_INPUTS
@LAYOUT
@input_options
@examples(
    "headrace logs entities app.log", "headrace logs entities 'app.log*' | jq 'select(.header.level == \"ERROR\")'"
)
def entities(inputs: tuple[str, ...], layout: str | None, input_format: str | None, encoding: str) -> None:
    """Write what each line says, as JSON Lines: its header's fields, its template, and the values with their kinds."""
    with _surveyed(inputs, layout, input_format, encoding) as (survey, source):
        for line in survey.read(source.rows()):
            click.echo(json_text(line.as_json()))


@contextmanager
def _surveyed(
    inputs: tuple[str, ...], layout: str | None, input_format: str | None, encoding: str
) -> Iterator[tuple[Survey, Source]]:
    options = SourceOptions(format=input_format or "lines", encoding=encoding)
    survey = Survey()
    with opened_lines(inputs, options, load_settings()) as source, Display() as display:
        survey.look(_shown(source, display), layout=None if layout is None else LAYOUTS[layout])
        if survey.rejected:
            err.print(f"{survey.rejected:,} lines are no text in {encoding} and are left out", markup=False)
        yield survey, source


def _shown(source: Source, display: Display) -> Iterator[Row]:
    for number, row in enumerate(source.rows()):
        if number % 1000 == 0:
            display.reading(source.bytes_read(), source.size_bytes)
        yield row
