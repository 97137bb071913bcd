"""Commands that make work: run, submit, watch, up, worker, sweep."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from pipeline import telemetry
from pipeline.cli.exports import write_results
from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.terminal import err, examples, json_option, out, print_json, run_argument
from pipeline.cli.views import run_table
from pipeline.domain.errors import ConfigError, QueueUnavailable, RunFailed, StoreUnavailable
from pipeline.domain.job import Job
from pipeline.domain.runs import RunProgress, RunState
from pipeline.flow.follow import follow
from pipeline.flow.ingest import Submitted, submit
from pipeline.flow.sweep import Swept, sweep
from pipeline.ports.queue import Queue
from pipeline.ports.source import SourceOptions
from pipeline.ports.store import RunRecord, Store
from pipeline.settings import Settings, child_environment, load_settings
from pipeline.wiring import Servers, Stack, servers, store_and_queue
from pipeline.wiring.inputs import job_from, opened_source, warn_of_gaps
from pipeline.wiring.model_files import pull_missing_models
from pipeline.wiring.parts import price_book_for, system_clock

_JOB = click.argument("job_file", metavar="JOB", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_INPUTS = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
_FORMAT = click.option(
    "--format",
    "input_format",
    type=click.Choice(["csv", "tsv", "jsonl", "lines"]),
    help="How the input is written [default: by the file's ending].",
)
_ENCODING = click.option("--encoding", default="utf-8", show_default=True, help="Of the input.")


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What following a run needs."""

    settings: Settings
    store: Store
    queue: Queue


class Sweeper:
    """Sweeps now and then, from a loop that calls it often; outages of Redis or Postgres are waited out."""

    def __init__(self, tools: Tools) -> None:
        """Sweep at the first call."""
        self._tools = tools
        self._next_s = 0.0

    def __call__(self) -> None:
        """Sweep if it is time."""
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + self._tools.settings.sweep_every_s
        try:
            swept = sweep(self._tools.store, self._tools.queue)
        except (QueueUnavailable, StoreUnavailable) as error:
            telemetry.logger().warning("sweep_failed", reason=str(error))
            return
        report_sweep(swept)


def report_sweep(swept: Swept) -> None:
    """Log what a sweep did, if anything."""
    if swept.republished or swept.lost:
        telemetry.logger().info("swept", republished=swept.republished, lost=swept.lost)
    for run in swept.broken_runs:
        telemetry.logger().error("conservation_broken", run=run)


@commands.command()
@_JOB
@_INPUTS
@_FORMAT
@_ENCODING
@click.option("--output", type=click.Path(path_type=Path), help="Write results here; .jsonl, .csv or .parquet.")
@click.option("--pull", is_flag=True, help="Fetch missing models of the catalogue first.")
@json_option
@examples(
    "headrace run job.toml tickets.csv --output answers.jsonl",
    "headrace run job.toml 'logs/*.log.gz' --json",
    "zcat dump.jsonl.gz | headrace run job.toml - --format jsonl",
)
def run(
    job_file: Path,
    inputs: tuple[str, ...],
    input_format: str | None,
    encoding: str,
    output: Path | None,
    pull: bool,  # noqa: FBT001 — click passes options by name
    as_json: bool,  # noqa: FBT001
) -> None:
    """Run a job over inputs from start to end: servers, workers, progress, results.

    The same command again takes up where an interrupted one stopped, and adds no item twice.
    """
    settings = load_settings()
    job = job_from(job_file)
    if pull:
        with Display() as display:
            pull_missing_models(job, settings, display.bar)
    options = SourceOptions(format=input_format, encoding=encoding)

    def export(store: Store, final: RunProgress) -> None:
        if output is not None:
            write_results(store.results(store.find_run(final.run).id), job, output, None)

    conclude(run_job(job, inputs, options, settings, then=export), as_json=as_json)


def run_job(
    job: Job,
    inputs: Sequence[str],
    options: SourceOptions,
    settings: Settings,
    *,
    then: Callable[[Store, RunProgress], None] = lambda _store, _final: None,
) -> RunProgress:
    """Bring up servers and workers, submit, follow to the end, and stop it all.

    `then` gets the store and the finished run while the servers are still up.
    """
    warn_of_gaps(job, settings)
    with _stack(job, settings) as (tools, stack), Display() as display:
        sweeper = Sweeper(tools)

        def tick() -> None:
            stack.poll()
            sweeper()

        def reading(done_bytes: int, total_bytes: int) -> None:
            display.reading(done_bytes, total_bytes)
            tick()

        def opened(run: RunRecord) -> None:
            # Workers load their models while the source is read; a run that is done needs none.
            if run.state is not RunState.DONE:
                stack.start_workers()

        prices = price_book_for(settings)
        with opened_source(inputs, job, options, settings) as source:
            taken = submit(job, source, prices, store=tools.store, queue=tools.queue, progress=reading, on_run=opened)
        final = follow(tools.store, taken.run.id, clock=system_clock(), show=display.answering, tick=tick)
        then(tools.store, final)
        return final


@contextlib.contextmanager
def _stack(job: Job, settings: Settings) -> Iterator[tuple[Tools, Stack]]:
    with (
        servers(settings) as found,
        store_and_queue(found.redis_url, found.database_url) as (store, queue),
        Stack(job, settings, found) as stack,
    ):
        yield Tools(settings=settings, store=store, queue=queue), stack


def conclude(final: RunProgress, *, as_json: bool) -> None:
    """Print a finished run; raises RunFailed when it did not end well."""
    if as_json:
        print_json(final.as_json())
    else:
        out.print(run_table(final))
    if final.state is not RunState.DONE:
        raise RunFailed(f"run {final.run} ended {final.state.value}: {final.reason or 'see headrace status'}")


@commands.command("submit")
@_JOB
@_INPUTS
@_FORMAT
@_ENCODING
@json_option
@examples("headrace submit job.toml tickets.csv", "headrace watch last")
def submit_command(
    job_file: Path,
    inputs: tuple[str, ...],
    input_format: str | None,
    encoding: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Put inputs into a run and return; workers started by `up` or `worker` answer it."""
    settings = load_settings()
    job = job_from(job_file)
    warn_of_gaps(job, settings)
    with _tools(settings) as tools, Display() as display:
        options = SourceOptions(format=input_format, encoding=encoding)
        with opened_source(inputs, job, options, settings) as source:
            submitted = submit(
                job, source, price_book_for(settings), store=tools.store, queue=tools.queue, progress=display.reading
            )
    _print_submitted(submitted, as_json=as_json)


def _print_submitted(done: Submitted, *, as_json: bool) -> None:
    if as_json:
        counts = {"rows": done.rows, "items": done.items, "duplicates": done.duplicates, "rejected": done.rejected}
        print_json({"run": done.run.name, "state": done.run.state.value, "new": done.made, **counts})
        return
    what = "new run" if done.made else "taken up"
    out.print(f"{done.run.name} ({what}): {done.items:,} items added, {done.rejected:,} rows rejected", markup=False)
    if done.unannounced:
        err.print(f"{done.unannounced:,} chunks could not be announced: Redis is down; a sweep announces them later")


@contextlib.contextmanager
def _tools(settings: Settings, *, migrated: bool = True) -> Iterator[Tools]:
    with servers(settings, migrated=migrated) as found, store_and_queue(found.redis_url, found.database_url) as both:
        yield Tools(settings=settings, store=both[0], queue=both[1])


@commands.command()
@run_argument
@json_option
@examples("headrace watch last", "headrace watch support-tickets-3fa9")
def watch(run: str, as_json: bool) -> None:  # noqa: FBT001
    """Follow a run until it ends; Ctrl-C stops the watching, not the run."""
    settings = load_settings()
    with _tools(settings, migrated=False) as tools, Display() as display:
        record: RunRecord = tools.store.find_run(run)
        final = follow(tools.store, record.id, clock=system_clock(), show=display.answering)
    conclude(final, as_json=as_json)


@commands.command()
@click.argument(
    "job_file", metavar="[JOB]", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--pull", is_flag=True, help="Fetch missing models of the catalogue first.")
@examples("headrace up job.toml", "HEADRACE_FLOWER_PORT=5555 headrace up job.toml --pull")
def up(job_file: Path | None, pull: bool) -> None:  # noqa: FBT001
    """Start everything for a job in the foreground: Redis, Postgres, one worker per tier, Flower. Ctrl-C stops it.

    Without JOB only the servers run, for `submit`, `watch` and workers of your own.
    """
    settings = load_settings()
    job = None if job_file is None else job_from(job_file)
    if job is not None:
        if pull:
            with Display() as display:
                pull_missing_models(job, settings, display.bar)
        warn_of_gaps(job, settings)
    with servers(settings) as found:
        _print_addresses(settings, found)
        with store_and_queue(found.redis_url, found.database_url) as (store, queue):
            sweeper = Sweeper(Tools(settings=settings, store=store, queue=queue))
            if job is None:
                _loop(sweeper, found)
                return
            with Stack(job, settings, found) as stack:
                stack.start_workers()
                flower = stack.start_flower()
                err.print(f"Flower     {flower.url}  user {flower.user}  password {flower.password}", markup=False)
                err.print(
                    f"workers    {', '.join(tier.name for tier in job.tiers)}; Ctrl-C stops everything", markup=False
                )
                _loop(sweeper, found, stack.poll)


def _print_addresses(settings: Settings, found: Servers) -> None:
    err.print(f"home       {settings.home}", markup=False)
    err.print(f"Redis      {telemetry.mask_urls(found.redis_url)}", markup=False)
    err.print(f"Postgres   {telemetry.mask_urls(found.database_url)}", markup=False)


def _loop(sweeper: Sweeper, found: Servers, poll: Callable[[], None] | None = None) -> None:
    """Look after everything until Ctrl-C or SIGTERM."""
    clock = system_clock()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            if poll is not None:
                poll()
            elif found.services is not None:
                found.services.poll()
            sweeper()
            clock.sleep(0.25)
    err.print("stopping")


@commands.command()
@click.option("--job", "job_file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tier", required=True, help="Which tier of the job to serve.")
@click.option("--threads", type=click.IntRange(min=1), help="llama: threads [default: what the cgroup grants].")
@examples("headrace worker --job job.toml --tier small", "headrace worker --job job.toml --tier large --threads 8")
def worker(job_file: Path, tier: str, threads: int | None) -> None:
    """Serve one tier: a Celery worker with the tier's engine loaded once."""
    settings = load_settings()
    environment: dict[str, str] = {}
    if settings.is_embedded:
        with servers(settings, migrated=False) as found:
            if found.services is not None:
                raise ConfigError(
                    "no servers are running: start `headrace up`, or set the two URLs (see headrace --help)"
                )
            environment = found.environment
    argv = [sys.executable, "-m", "workers", "--job", str(job_file.resolve()), "--tier", tier]
    if threads is not None:
        argv += ["--threads", str(threads)]
    os.execve(sys.executable, argv, child_environment(environment))  # noqa: S606 — our own module, no shell


@commands.command("sweep")
@click.option("--every", type=float, metavar="SECONDS", help="Go on sweeping [default: once].")
@json_option
@examples("headrace sweep", "headrace sweep --every 15")
def sweep_command(every: float | None, as_json: bool) -> None:  # noqa: FBT001
    """Announce again what stands unpublished, what a dead worker held and what Redis lost; nothing else."""
    settings = load_settings()
    with _tools(settings, migrated=False) as tools:
        while True:
            swept = sweep(tools.store, tools.queue)
            report_sweep(swept)
            if as_json:
                print_json({"flushed": swept.flushed, "republished": swept.republished, "lost": swept.lost})
            elif every is None:
                out.print(
                    f"announced again: {swept.republished:,} unpublished or abandoned, {swept.lost:,} lost by Redis"
                )
            if every is None:
                return
            system_clock().sleep(every)
