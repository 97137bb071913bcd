"""Commands that put work in and follow it: run, submit, watch."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from pipeline.cli.exports import check_output, write_results
from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.sweeping import Sweeper, Tools, open_tools
from pipeline.cli.terminal import err, examples, input_options, json_option, out, print_json, run_argument
from pipeline.cli.views import run_table
from pipeline.domain.errors import ConfigError, RunFailed
from pipeline.domain.job import Job
from pipeline.domain.runs import FINAL_STATES, RunProgress, RunState
from pipeline.flow.follow import follow
from pipeline.flow.ingest import Submitted, submit
from pipeline.ports.source import SourceOptions
from pipeline.ports.store import RunRecord, Store
from pipeline.settings import Settings, load_settings
from pipeline.wiring import Stack, store_and_queue
from pipeline.wiring.fusing import fused_by_evidence
from pipeline.wiring.inputs import job_from, opened_source, warn_of_gaps
from pipeline.wiring.model_files import pull_missing_models
from pipeline.wiring.parts import price_book_for, system_clock
from pipeline.wiring.servers import Role, servers

_JOB = click.argument("job_file", metavar="JOB", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_INPUTS = click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)


@commands.command()
@_JOB
@_INPUTS
@input_options
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

    The same command again takes up where an interrupted one stopped, and adds no item twice. That holds while the
    job's values and the inputs' bytes are the same: with any change it is a new run, which asks and pays for everything
    again. Beside `headrace up` use `submit` and `watch`, since `run` starts workers of its own.
    """
    settings = load_settings()
    job = job_from(job_file, settings)
    if output is not None:
        check_output(output)
        _refuse_overwriting(output, [job_file, *map(Path, inputs)])
    if pull:
        with Display() as display:
            pull_missing_models(job, settings, display.bar)
    options = SourceOptions(format=input_format, encoding=encoding)

    def export(store: Store, final: RunProgress) -> None:
        if output is not None:
            write_results(store.results(store.find_run(final.run).id), job, output, None)

    conclude(run_job(job, inputs, options, settings, then=export), as_json=as_json)


def _refuse_overwriting(output: Path, read: Iterable[Path]) -> None:
    if any(one.exists() and output.exists() and output.samefile(one) for one in read):
        raise ConfigError(f"--output {output} is one of the inputs and would be written over: name another file")


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

        prices, fused = price_book_for(settings), fused_by_evidence(job, settings)
        with opened_source(inputs, job, options, settings) as source:
            taken = submit(
                job,
                source,
                prices,
                store=tools.store,
                queue=tools.queue,
                fused=fused,
                progress=reading,
                on_run=opened,
            )
        final = follow(tools.store, taken.run.id, clock=system_clock(), show=display.answering, tick=tick)
        then(tools.store, final)
        return final


@contextlib.contextmanager
def _stack(job: Job, settings: Settings) -> Iterator[tuple[Tools, Stack]]:
    with (
        servers(settings, Role.RUN, migrated=True) as found,
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
@input_options
@json_option
@examples("headrace submit job.toml tickets.csv", "headrace watch last")
def submit_command(
    job_file: Path,
    inputs: tuple[str, ...],
    input_format: str | None,
    encoding: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Put inputs into a run and return; workers started by `up` or `worker` answer it.

    For a table that grows submit a file of its new rows only: a changed file is a new run over all of its rows.
    """
    settings = load_settings()
    job = job_from(job_file, settings)
    warn_of_gaps(job, settings)
    with open_tools(settings, Role.REPORT) as tools, Display() as display:
        options = SourceOptions(format=input_format, encoding=encoding)
        with opened_source(inputs, job, options, settings) as source:
            submitted = submit(
                job,
                source,
                price_book_for(settings),
                store=tools.store,
                queue=tools.queue,
                fused=fused_by_evidence(job, settings),
                progress=display.reading,
            )
    _print_submitted(submitted, as_json=as_json)
    if submitted.run.state in FINAL_STATES - {RunState.DONE}:
        state, name = submitted.run.state.value, submitted.run.name
        raise RunFailed(f"run {name} is {state} meanwhile: what was read waits for: headrace retry {name}")


def _print_submitted(done: Submitted, *, as_json: bool) -> None:
    if as_json:
        counts = {"rows": done.rows, "items": done.items, "duplicates": done.duplicates, "rejected": done.rejected}
        print_json({"run": done.run.name, "state": done.run.state.value, "new": done.made, **counts})
        return
    what = "new run" if done.made else "taken up"
    out.print(f"{done.run.name} ({what}): {done.items:,} items added, {done.rejected:,} rows rejected", markup=False)
    if done.unannounced:
        err.print(f"{done.unannounced:,} chunks could not be announced: Redis is down; a sweep announces them later")


@commands.command()
@run_argument
@json_option
@examples("headrace watch last", "headrace watch support-tickets-3fa9")
def watch(run: str, as_json: bool) -> None:  # noqa: FBT001
    """Follow a run until it ends; Ctrl-C stops the watching, not the run.

    RUN is a name, its beginning (then the latest such run) or `last`, which is the default.
    """
    settings = load_settings()
    with open_tools(settings, Role.REPORT) as tools, Display() as display:
        record: RunRecord = tools.store.find_run(run)
        final = follow(tools.store, record.id, clock=system_clock(), show=display.answering)
    conclude(final, as_json=as_json)
