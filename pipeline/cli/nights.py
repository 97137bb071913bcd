"""logs night, logs nights, logs nightly: logs loaded on their schedule, and what each night brought."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from pipeline.cli.log_search import LOG
from pipeline.cli.logs import logs
from pipeline.cli.progress import Display
from pipeline.cli.reports import opened_store
from pipeline.cli.run import run_job
from pipeline.cli.stored_logs import print_report
from pipeline.cli.terminal import err, examples, json_option, out, print_json
from pipeline.domain.errors import ConfigError, RunFailed
from pipeline.domain.job import Job
from pipeline.domain.logs.nights import Asked, LogJob
from pipeline.domain.runs import RunProgress, RunState
from pipeline.ports.source import SourceOptions
from pipeline.ports.store import Store
from pipeline.settings import Settings, load_settings
from pipeline.wiring.inputs import job_from
from pipeline.wiring.log_asking import About, keep_answers, to_ask
from pipeline.wiring.nightly import Nightly
from pipeline.wiring.nights import Night, begin, finish, log_job
from pipeline.wiring.parts import system_clock

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@logs.command()
@click.argument("job_file", metavar="JOB", type=_FILE)
@json_option
@examples("headrace logs night web.toml", "headrace logs night web.toml --json  # for a timer of your own")
def night(job_file: Path, *, as_json: bool) -> None:
    """Do the night that JOB, a log job file, has due: load what is new, ask about new kinds, report.

    Nights that were missed are made up for, each with a report of its own. When none is due nothing is done, and the
    last is shown again. Interrupted, the same command goes on. Ends with 2 when files could not be read to their end.

    JOB says `log`, `files`, and what is not as by default: `layout`, `at` (as in cron), `timezone`, `against` (nights
    before to compare with), `reports` (a folder for a page and a JSON file a night), and `ask`: a job, asked once of
    each new kind, whose text may name {template}, {example}, {examples}, {following}, {level}, {component} and {log};
    `ask_values` is the same for values that no rule names, and {value}; `ask_words` for words that may be values, and
    {word}.
    """
    settings, job = load_settings(), log_job(job_file)
    named: dict[About, str | None] = {"words": job.ask_words, "kinds": job.ask, "values": job.ask_values}
    asking = {about: job_from(Path(name), settings) for about, name in named.items() if name is not None}
    with opened_store() as store, Display() as display:
        begun = begin(
            store, job, clock=system_clock(), show=lambda name, _, at, of: display.bar("loading", at, of, name)
        )
        if not begun.due:
            _show_last(store, job, as_json=as_json)
            return
    asked, failed = Asked(), None
    for about, one in asking.items():
        try:
            asked = asked.plus(_ask(job.log, one, about, settings))
        except (RunFailed, ConfigError) as error:  # a report is not to wait for a model; the next night asks again
            failed = error
            begun = begun.with_problem(f"new {about} could not be asked about: {error}")
    with opened_store() as store:
        done = finish(store, begun, asked=asked)
    _show(done, as_json=as_json)
    if failed is not None:
        raise failed
    if begun.problems:
        raise ConfigError("the night is done, but not all was read: " + "; ".join(begun.problems))


def _ask(log: str, asking: Job, about: About, settings: Settings) -> Asked:
    """Ask about what is new; twice where an interrupted night had left some."""
    asked = Asked()
    while True:
        with opened_store() as store:
            path = to_ask(store, log, asking, about, settings)
        if path is None:
            return asked
        kept: list[Asked] = []

        def keep(store: Store, final: RunProgress, path: Path = path, kept: list[Asked] = kept) -> None:
            if final.state is RunState.DONE:
                results = store.results(store.find_run(final.run).id)
                kept.append(keep_answers(store, log, asking, path, results, final))

        final = run_job(asking, [str(path)], SourceOptions(format="jsonl"), settings, then=keep)
        if not kept:
            raise RunFailed(f"run {final.run} about new {about} of {log} ended {final.state.value}: {final.reason}")
        asked = asked.plus(kept[0])


def _show_last(store: Store, job: LogJob, *, as_json: bool) -> None:
    last = store.nights(job.log, limit=1)
    if not as_json:
        err.print(f"no night of {job.log} is due ({job.at}, {job.timezone}); the last one brought:", markup=False)
    _show(last, as_json=as_json)


def _show(done: Sequence[Night], *, as_json: bool) -> None:
    if as_json:
        print_json({"nights": [one.as_json() for one in done]})
        return
    for one in done:
        print_report(one.log, one.report)
    for one in done[-1:]:
        asked = one.asked
        unknown = f" and {asked.unknown_calls:,} calls of unknown cost" if asked.unknown_calls else ""
        cost = f"${asked.known_usd:.4f}{unknown}"
        counts = {"kinds": asked.kinds, "values": asked.values, "words": asked.words}
        what = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        about = f"; asked about {what} in {asked.calls:,} calls: {cost}" if asked.run else ""
        out.print(f"{one.loaded:,} events added from {one.files:,} files{about}", markup=False)


@logs.command()
@LOG
@click.option("--limit", type=click.IntRange(min=1), default=14, show_default=True, help="How many, the latest first.")
@json_option
@examples("headrace logs nights web", "headrace logs nights web --limit 1 --json")
def nights(log: str, limit: int, *, as_json: bool) -> None:
    """List the nights of a LOG that are done."""
    with opened_store() as store:
        found = store.nights(log, limit=limit)
    if as_json:
        print_json({"log": log, "nights": [one.as_json() for one in found]})
        return
    table = Table("due", "started", "added", "events", "new", "bursts", "vanished", "kinds asked", "cost")
    for one in found:
        report, asked = one.report, one.asked
        counts = (one.loaded, report.events, len(report.new), len(report.bursts), len(report.vanished), asked.kinds)
        cost = f"${asked.known_usd:.4f}" + (f" + {asked.unknown_calls:,} unknown" if asked.unknown_calls else "")
        table.add_row(
            f"{one.due:%Y-%m-%d %H:%M}", f"{one.started:%m-%d %H:%M}", *(f"{count:,}" for count in counts), Text(cost)
        )
    out.print(table)


@logs.command()
@click.argument("job_files", metavar="JOB...", nargs=-1, required=True, type=_FILE)
@examples("headrace logs nightly web.toml mail.toml")
def nightly(job_files: tuple[Path, ...]) -> None:
    """Keep the schedules of log job files, in the foreground: Celery beat and a worker of one night at a time.

    A night that was due while nothing ran is made up for at once. Ctrl-C stops it. Servers are those of a running
    `headrace up`, your own by the two URLs, or started for as long.
    """
    with Nightly([path.resolve() for path in job_files], load_settings()) as keeping:
        for name, at in keeping.schedules.items():
            err.print(f"{name}: {at}", markup=False)
        keeping.wait(system_clock())
    err.print("stopping")
