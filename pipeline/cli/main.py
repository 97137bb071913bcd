"""`headrace`: all commands, and errors as one line with the way out."""

import importlib
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version

import click

from pipeline import telemetry
from pipeline.cli.standard_error import lasting_errors
from pipeline.cli.standard_output import ReaderGone, translated_output
from pipeline.cli.terminal import EXIT_CODES, err, examples
from pipeline.domain.errors import HeadraceError
from pipeline.settings import load_settings

_INTERRUPTED = 130


_MODULES = {
    "run": ("run", "submit", "watch"),
    "serve": ("up", "worker", "sweep"),
    "reports": ("status", "results", "rejects", "costs", "retry", "cancel"),
    "migrating": ("migrate",),
    "dead_letters": ("dead",),
    "forgetting": ("forget",),
    "money": ("budget",),
    "pausing": ("pause", "resume"),
    "certificates": ("certificates",),
    "learning": ("learn",),
    "labels": ("labels",),
    "nights": ("logs",),
    "log_tail": ("logs",),
    "tuning": ("models",),
    "doctor": ("doctor",),
    "evaluating": ("eval",),
    "planning": ("plan",),
    "estimating": ("estimate",),
    "policies": ("policy",),
    "bench": ("bench",),
    "demo": ("demo",),
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for: `status` need not wait for what `doctor` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names without importing anything."""
        return sorted({*super().list_commands(ctx), *(name for names in _MODULES.values() for name in names)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, its modules imported."""
        for module in (module for module, names in _MODULES.items() if cmd_name in names):
            importlib.import_module(f"pipeline.cli.{module}")
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(version("headrace"), prog_name="headrace")
@examples("headrace demo", "headrace run job.toml tickets.csv --output answers.jsonl", "headrace status last --json")
def commands() -> None:
    """Answer millions of texts with small models first, and account for every cent.

    Nothing needs to be installed first: Redis and Postgres come along. Set HEADRACE_REDIS_URL and
    HEADRACE_DATABASE_URL to use servers of your own, HEADRACE_HOME to keep the data elsewhere.
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit: errors of ours are one line, never a traceback."""
    with lasting_errors():
        code = _exit_code(argv)
    sys.exit(code)


def _exit_code(argv: Sequence[str] | None) -> int:
    # A service manager's stop is a Ctrl-C: everything ends in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with translated_output():
            settings = load_settings()
            telemetry.configure(level=settings.log_level or "warning", style=settings.log_format)
            commands.main(args=None if argv is None else list(argv), prog_name="headrace", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        err.print("interrupted: nothing is lost; the same command goes on where this one stopped")
        return _INTERRUPTED
    except ReaderGone:
        return 0
    except HeadraceError as error:
        err.print(f"headrace: {telemetry.mask_urls(str(error))}", style="bold red", markup=False, soft_wrap=True)
        return error.exit_code
    return 0
