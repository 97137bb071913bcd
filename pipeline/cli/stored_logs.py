"""logs load, kinds, report: events of log files in Postgres, and what they come to."""

import datetime as dt
import re

import click
from rich.table import Table
from rich.text import Text

from pipeline.cli.log_search import LOG, Moment
from pipeline.cli.logs import LAYOUT, logs
from pipeline.cli.progress import Display
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import err, examples, json_option, out, print_json
from pipeline.domain.errors import ConfigError
from pipeline.domain.logs.nights import LOG_NAME
from pipeline.wiring.log_kinds import Report, kinds_of, report_of
from pipeline.wiring.log_loading import Loaded, load_files
from pipeline.wiring.parts import system_clock


@logs.command()
@LOG
@click.argument("inputs", metavar="FILE...", nargs=-1, required=True)
@LAYOUT
@click.option("--processes", type=click.IntRange(min=1), help="How many read at once.  [default: the machine's CPUs]")
@json_option
@examples(
    "headrace logs load web '/var/log/nginx/error.log*'",
    "headrace logs load web '/var/log/nginx/error.log*' --json  # nightly: only what is new is read",
)
def load(log: str, inputs: tuple[str, ...], layout: str | None, processes: int | None, *, as_json: bool) -> None:
    """Store the events of files under the name LOG, each file from where the last loading ended.

    A file is known by its content: renamed, copied or compressed by a rotation (gzip, zstd, xz, bzip2) it goes on where
    it was. Loading it again adds nothing. Lines that do not begin with a header (stack traces) belong to the event
    before them. A last line without its end is left for the next time. What is no text is kept, written in hexadecimal.
    """
    if re.fullmatch(LOG_NAME, log) is None:
        raise ConfigError(f"{log!r}: name a log with letters, digits, - _ and ., at most 60")
    with opened_store() as store, Display() as display:
        done: list[Loaded] = []
        for one in load_files(
            store,
            log,
            inputs,
            layout=layout,
            processes=processes,
            clock=system_clock(),
            show=lambda name, _, at, of: display.bar("loading", at, of, name),
        ):
            done.append(one)
            if one.problem is not None:
                err.print(one.complaint, markup=False, soft_wrap=True)
    broken = [one for one in done if one.problem is not None]
    if as_json:
        print_json({"log": log, "files": [_loaded(one) for one in done]})
    else:
        table = Table("file", "layout", "lines read now", "events")
        for one in done:
            lines = f"{one.from_line:,} to {one.until_line:,}" if one.until_line >= one.from_line else "nothing new"
            table.add_row(Text(one.name), one.layout or "-", lines, f"{one.events:,}")
        out.print(table)
    if broken:
        raise ConfigError(
            f"{len(broken):,} of {len(done):,} files could not be read to their end; the others are loaded"
        )


def _loaded(one: Loaded) -> dict[str, object]:
    return {
        "file": one.name,
        "layout": one.layout,
        "events": one.events,
        "from_line": one.from_line,
        "until_line": one.until_line,
        "problem": one.problem,
    }


@logs.command()
@LOG
@click.option("--new-since", type=Moment(), help="Only kinds that were stored first from this moment on.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many the table shows.")
@json_option
@examples("headrace logs kinds web", "headrace logs kinds web --new-since 2026-11-26 --json")
def kinds(log: str, new_since: dt.datetime | None, limit: int, *, as_json: bool) -> None:
    """Show the kinds of events of a stored LOG, the commonest first."""
    with opened_store() as store:
        found = kinds_of(store, log)
    total = sum(one.events for one in found)
    found = [one for one in found if new_since is None or one.first_seen >= new_since]
    if as_json:
        print_json({"log": log, "events": total, "kinds": [one.as_json() for one in found]})
        return
    steps = sorted({step for one in found[:limit] for step in one.answers or {}})
    table = Table("events", "share", *steps, "template", "last")
    for one in found[:limit]:
        last = "-" if one.last_at is None else f"{one.last_at:%Y-%m-%d %H:%M:%S}"
        answers = [Text((one.answers or {}).get(step, "")) for step in steps]
        table.add_row(f"{one.events:,}", f"{one.events / total:.1%}", *answers, Text(one.template), last)
    out.print(table)
    more = f"; {len(found) - limit:,} more, see --limit" if len(found) > limit else ""
    out.print(f"{total:,} events; {len(found):,} kinds{more}", markup=False)


@logs.command()
@LOG
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Which day, in UTC.  [default: the latest with events]")
@click.option(
    "--against", type=click.IntRange(1, 90), default=7, show_default=True, help="Days before to compare with."
)
@json_option
@examples("headrace logs report web", "headrace logs report web --day 2026-11-26 --json")
def report(log: str, day: dt.datetime | None, against: int, *, as_json: bool) -> None:
    """Tell what a day of a stored LOG brought: new kinds of events, vanished ones, and bursts.

    A burst came at least three times as often as on a day before, and 20 times at least. Days without any event do not
    count, and events without a moment are in no day.
    """
    with opened_store() as store:
        found = report_of(store, log, None if day is None else day.date(), against=against)
    if as_json:
        print_json({"log": log, **found.as_json()})
        return
    print_report(log, found)


def print_report(log: str, found: Report) -> None:
    """Print what a time brought."""
    since, until = (f"{one:%Y-%m-%d %H:%M}" for one in (found.since, found.until))
    times = f"compared with {found.against} times before"
    out.print(f"{log}, {since} to {until} UTC: {found.events:,} events of {found.kinds:,} kinds, {times}", markup=False)
    for title, told in (("new", found.new), ("bursts", found.bursts), ("vanished", found.vanished)):
        if not told:
            continue
        steps = sorted({step for one in told for step in one.answers or {}})
        table = Table("events", "usual", *steps, "template", title=title, title_justify="left")
        for one in told:
            answers = [Text((one.answers or {}).get(step, "")) for step in steps]
            table.add_row(f"{one.events:,}", f"{one.usual:,.1f}", *answers, Text(one.template))
        out.print(table)
