"""What every command shares: options, output, exit codes."""

import functools
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import click
from rich.console import Console

P = ParamSpec("P")
R = TypeVar("R")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

EXIT_CODES = """\
\b
Exit codes:
  0  done                     3  Redis or Postgres does not answer
  1  failed, see the message  4  no such run
  2  the job, the input or    5  the run ended cancelled or failed
     the settings are wrong   130  interrupted; the same command goes on
"""


def json_option(command: Callable[P, R]) -> Callable[P, R]:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document for scripts.")(command)


def run_argument(command: Callable[P, R]) -> Callable[P, R]:
    """Add the RUN argument."""
    return click.argument("run", default="last")(command)


def print_json(document: Any) -> None:  # noqa: ANN401 — anything that JSON can hold
    """Print a document on standard output."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=None) + "\n")


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
