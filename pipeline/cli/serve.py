"""Commands that keep something running: up, worker, sweep."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from pipeline import telemetry
from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.sweeping import Reviewer, Sweeper, TextEraser, Tools, open_tools, report_sweep
from pipeline.cli.terminal import Seconds, err, examples, json_option, out, print_json
from pipeline.domain.tiers import MAX_THREADS
from pipeline.settings import Settings, child_environment, load_settings
from pipeline.wiring import Servers, Stack, store_and_queue
from pipeline.wiring.inputs import job_from, warn_of_gaps
from pipeline.wiring.model_files import pull_missing_models
from pipeline.wiring.parts import swept, system_clock
from pipeline.wiring.servers import Role, running_servers, servers


@commands.command()
@click.argument(
    "job_file", metavar="[JOB]", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--pull", is_flag=True, help="Fetch missing models of the catalogue first.")
@examples("headrace up job.toml", "HEADRACE_FLOWER_PORT=5555 headrace up job.toml --pull")
def up(job_file: Path | None, pull: bool) -> None:  # noqa: FBT001
    """Start everything for a job in the foreground: Redis, Postgres, one worker per tier, Flower. Ctrl-C stops it.

    Without JOB only the servers run, for `submit`, `watch` and workers of your own. One `up` or `run` holds a home: for
    several jobs at once give each its HEADRACE_HOME, or start a `worker` for each of their tiers.
    """
    settings = load_settings()
    job = None if job_file is None else job_from(job_file, settings)
    if job is not None:
        if pull:
            with Display() as display:
                pull_missing_models(job, settings, display.bar)
        warn_of_gaps(job, settings)
    with servers(settings, Role.UP, migrated=True) as found:
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
                _loop(sweeper, found, stack.poll, Reviewer(job, store, settings))


def _print_addresses(settings: Settings, found: Servers) -> None:
    err.print(f"home       {settings.home}", markup=False)
    err.print(f"Redis      {telemetry.mask_urls(found.redis_url)}", markup=False)
    err.print(f"Postgres   {telemetry.mask_urls(found.database_url)}", markup=False)


def _loop(
    sweeper: Sweeper,
    found: Servers,
    poll: Callable[[], None] | None = None,
    look: Callable[[], None] | None = None,
) -> None:
    """Look after everything until Ctrl-C or SIGTERM."""
    clock = system_clock()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            if poll is not None:
                poll()
            elif found.services is not None:
                found.services.poll()
            sweeper()
            if look is not None:
                look()
            clock.sleep(0.25)
    err.print("stopping")


@commands.command()
@click.option("--job", "job_file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tier", required=True, help="Which tier of the job to serve.")
@click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    help="llama: threads at most; `threads` in the tier goes before it [default: all CPUs that are granted]. Fewer are "
    "used where `models tune` found fewer to be faster.",
)
@examples("headrace worker --job job.toml --tier small", "headrace worker --job job.toml --tier large --threads 8")
def worker(job_file: Path, tier: str, threads: int | None) -> None:
    """Serve one tier: a Celery worker with the tier's engine loaded once."""
    settings = load_settings()
    environment = running_servers(settings).environment
    argv = [sys.executable, "-m", "workers", "--job", str(job_file.resolve()), "--tier", tier]
    if threads is not None:
        argv += ["--threads", str(threads)]
    os.execve(sys.executable, argv, child_environment(environment))  # noqa: S606 — our own module, no shell


@commands.command("sweep")
@click.option("--every", type=Seconds(0.1), metavar="SECONDS", help="Go on sweeping, from 0.1 on [default: once].")
@json_option
@examples("headrace sweep", "headrace sweep --every 15")
def sweep_command(every: float | None, as_json: bool) -> None:  # noqa: FBT001
    """Announce again what stands unpublished, what a dead worker held and what Redis lost.

    Erase texts of runs that ended HEADRACE_KEEP_TEXT_DAYS ago (up to 100,000 a sweep); their answers stay.
    With --every, --json prints one document a sweep.
    """
    settings = load_settings()
    with open_tools(settings, Role.REPORT) as tools:
        erase = TextEraser(tools)
        while True:
            done = swept(tools.store, tools.queue)
            report_sweep(done)
            texts = erase()
            if as_json:
                counts = {name: getattr(done, name) for name in ("flushed", "taken_back", "announced", "lost")}
                print_json({**counts, "texts_erased": texts})
            elif every is None:
                told = (
                    f"announced: {done.announced:,} that were due, {done.taken_back:,} taken back from dead workers, "
                    f"{done.lost:,} lost by Redis"
                )
                out.print(told + (f"; {texts:,} texts erased" if texts else ""), soft_wrap=True)
            if every is None:
                return
            system_clock().sleep(every)
