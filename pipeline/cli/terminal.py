"""What every command shares: options, output, exit codes."""

import functools
import inspect
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from pipeline.domain.visible import in_json, visible

P = ParamSpec("P")
R = TypeVar("R")

_UNBOUNDED_COLUMNS = 10_000
_DAY_S = 86_400


class Seconds(click.FloatRange):
    """A time that can be waited: NaN, which is neither above nor below any limit, is none."""

    name = "seconds"

    def __init__(self, least_s: float) -> None:
        """From `least_s` to a day."""
        super().__init__(min=least_s, max=_DAY_S)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 — click's
        """Return the time; ends with click's own error for what is none."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is no time in seconds", param, ctx)
        return seconds


# Rich takes a pipe or a file for a terminal of 80 columns and cuts there: a run's name that is cut can't be used.
_IN_PIPE = sys.stdout is None or not sys.stdout.isatty()


class SafeConsole(Console):
    """A console that shows what a stranger's text has a terminal do, and does not do it."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render; what rich itself wants of the terminal stands in segments of another kind."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


out = SafeConsole(highlight=False, width=_UNBOUNDED_COLUMNS if _IN_PIPE else None)
err = SafeConsole(stderr=True, highlight=False)

EXIT_CODES = """\
\b
Exit codes:
  0    done, or the reader of a pipe has enough
  1    failed: the message says why
  2    yours to mend: job, input, settings, model, or what `doctor` found
  3    Redis or Postgres does not answer, or a process of ours keeps ending
  4    no such run
  5    the run ended cancelled, failed or held
  130  interrupted: nothing is lost
"""


def json_option(command: Callable[P, R]) -> Callable[P, R]:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document for scripts.")(command)


def input_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add --format and --encoding, for what is read as `run` reads it."""
    kinds = click.Choice(["csv", "tsv", "jsonl", "lines"])
    text = "How the input is written [default: by the file's ending]."
    command = click.option("--encoding", default="utf-8", show_default=True, help="Of the input.")(command)
    return click.option("--format", "input_format", type=kinds, help=text)(command)


def run_argument(command: Callable[P, R]) -> Callable[P, R]:
    """Add the RUN argument, which may be left out."""
    return click.argument("run", default="last")(command)


def print_json_list(head: dict[str, Any], name: str, rows: Iterable[Any]) -> None:
    """Print a document with a long list in it, `head` and then `name`, without holding the list."""
    sys.stdout.write(json_text(head)[:-1] + f", {json.dumps(name)}: [")
    for number, row in enumerate(rows):
        sys.stdout.write((",\n" if number else "\n") + json_text(row))
    sys.stdout.write("]}\n")


def print_json(document: Any) -> None:  # noqa: ANN401 — anything that JSON can hold
    """Print a document on standard output."""
    sys.stdout.write(json_text(document) + "\n")


def json_text(document: Any) -> str:  # noqa: ANN401 — anything that JSON can hold
    """Return a document as one line of JSON that a terminal can be shown."""
    return in_json(json.dumps(document, ensure_ascii=False))


def examples(*lines: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Add examples to a command's help, as typed."""

    def add(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(*args, **kwargs)

        shown = "\n".join(f"  {line}" for line in lines)
        wrapped.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n\b\nExamples:\n{shown}\n"
        return wrapped

    return add
