"""Commands that read and order: status, results, rejects, costs, retry, cancel."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.cli.exports import FORMATS, check_output, write_results
from pipeline.cli.main import commands
from pipeline.cli.terminal import examples, json_option, out, print_json, print_json_list, run_argument
from pipeline.cli.views import COMMONEST, accuracy_table, costs_table, run_table, runs_table
from pipeline.domain.errors import ConfigError, NothingToCancel
from pipeline.domain.items import RejectedRow
from pipeline.domain.runs import RunState, usd
from pipeline.domain.visible import visible
from pipeline.flow.scoring import score
from pipeline.ports.store import Store
from pipeline.settings import load_settings
from pipeline.wiring import store_and_queue
from pipeline.wiring.samples import read_gold
from pipeline.wiring.servers import Role, servers


@contextlib.contextmanager
def opened_store() -> Iterator[Store]:
    """Open the store for a report; embedded servers that are not running are started for as long."""
    with (
        servers(load_settings(), Role.REPORT) as found,
        store_and_queue(found.redis_url, found.database_url) as (store, _),
    ):
        yield store


@commands.command()
@click.argument("run", required=False)
@json_option
@examples("headrace status", "headrace status last --json", "headrace status support-tickets-3fa9")
def status(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Count a run, or without RUN list the latest 50.

    RUN is a name, its beginning (then the latest such run) or `last`.
    """
    with opened_store() as store:
        if run is not None:
            now = store.progress(store.find_run(run).id)
            print_json(now.as_json()) if as_json else out.print(run_table(now))
            return
        runs = store.list_runs()
        print_json([one.as_json() for one in runs]) if as_json else out.print(runs_table(runs))


@commands.command()
@run_argument
@click.option("--format", "style", type=click.Choice(FORMATS), help="[default: by the output's ending, else jsonl]")
@click.option("--output", type=click.Path(path_type=Path), help="File to write [default: standard output].")
@click.option(
    "--gold",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Count right answers instead: JSON Lines of `key` and the right answer to each step.",
)
@click.option("--json", "as_json", is_flag=True, help="With --gold: print one JSON document for scripts.")
@examples(
    "headrace results last > answers.jsonl",
    "headrace results last --format csv --output answers.csv",
    "headrace results support-tickets-3fa9 --output answers.parquet",
    "headrace results last --gold gold.jsonl",
)
def results(run: str, style: str | None, output: Path | None, gold: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Write one line per valid row, in the input's order; with --gold, say how many answers are right.

    RUN is a name, its beginning (then the latest such run) or `last`, which is the default. A line of --gold is, say,
    {"key": "T-1", "category": "billing", "details": {"amount": 64.9, "due": null}}: a step that it lacks is not counted
    for that item, and an unresolved answer is not right. `key` is that of the results: the job's, or a line's number.
    """
    if gold is None:
        if as_json:
            raise ConfigError("results are JSON Lines as they are: --json goes with --gold")
        style = check_output(output, style)
        with opened_store() as store:
            record = store.find_run(run)
            write_results(store.results(record.id), record.job, output, style)
    elif output is not None or style is not None:
        raise ConfigError("--gold counts answers and writes none: leave out --output and --format")
    else:
        _show_accuracy(run, gold, as_json=as_json)


def _show_accuracy(run: str, gold: Path, *, as_json: bool) -> None:
    with opened_store() as store:
        record = store.find_run(run)
        right = read_gold(gold, record.job)
        found = score(right, store.results(record.id), [step.name for step in record.job.steps])
    if found.missing == found.items:
        raise ConfigError(
            f"no key of {gold} is an item of {record.name}: see the job's `key`, and `key` in the results"
        )
    if as_json:
        print_json({"run": record.name, **found.as_json()})
        return
    out.print(accuracy_table(found, [tier.name for tier in record.job.tiers]))
    out.print(COMMONEST, soft_wrap=True)
    if found.missing:
        out.print(f"{found.missing:,} of them are not in the run, and count as wrong")


@commands.command()
@run_argument
@json_option
@examples("headrace rejects last", "headrace rejects last --json")
def rejects(run: str, as_json: bool) -> None:  # noqa: FBT001
    """List the input lines that are no items: file, line, reason, what to do.

    RUN is a name, its beginning (then the latest such run) or `last`, which is the default. --json prints one document,
    a row a line: {"run": …, "rows": [{"source", "line", "reason", "detail"}, …]}.
    """
    with opened_store() as store:
        record = store.find_run(run)
        rows = store.rejected(record.id)
        if as_json:
            print_json_list({"run": record.name}, "rows", map(_rejected_json, rows))
            return
        count = 0
        for count, row in enumerate(rows, 1):  # noqa: B007 — the last number is the count
            sys.stdout.write(visible(f"{row.source}:{row.line}: {row.reason.value}: {row.detail}\n"))
        if not count:
            out.print("no rows were rejected")


def _rejected_json(row: RejectedRow) -> dict[str, object]:
    return {"source": row.source, "line": row.line, "reason": row.reason.value, "detail": row.detail}


@commands.command()
@click.argument("run", required=False)
@click.option("--by", default="tier", show_default=True, help="Any of step, tier, model, day, with commas between.")
@json_option
@examples("headrace costs last --by step,tier", "headrace costs --by day,model --json")
def costs(run: str | None, by: str, as_json: bool) -> None:  # noqa: FBT001
    """Show what calls cost, of one run or, without RUN, of all. The sum is the ledger's, to the last unit.

    RUN is a name, its beginning (then the latest such run) or `last`.
    """
    groups = [name.strip() for name in by.split(",") if name.strip()]
    with opened_store() as store:
        run_id = None if run is None else store.find_run(run).id
        found = store.costs(run_id, by=groups)
    if not as_json:
        out.print(costs_table(found, groups))
        return
    rows = [
        {
            **row.group,
            "calls": row.calls,
            "unknown_calls": row.unknown_calls,
            "tokens_in": row.tokens_in,
            "tokens_cached": row.tokens_cached,
            "tokens_out": row.tokens_out,
            "seconds": round(row.seconds, 6),
            "known_usd": usd(row.known_usd),
        }
        for row in found.rows
    ]
    total = {"known_usd": usd(found.known_usd), "unknown_calls": found.unknown_calls}
    print_json({"rows": rows, **total, "unsettled": found.unsettled.as_json()})


@commands.command()
@click.argument("run")
@click.option("--unresolved/--no-unresolved", default=True, help="Ask the unresolved again, at their top tier.")
@json_option
@examples("headrace retry last", "headrace retry support-tickets-3fa9 --no-unresolved")
def retry(run: str, unresolved: bool, as_json: bool) -> None:  # noqa: FBT001
    """Take up a cancelled or failed run, and ask again what stayed unresolved. What is answered stays.

    This starts no worker: run the job once more over the same input, or have workers up. RUN is a name, its beginning
    (then the latest such run) or `last`: here it must be given, for what is asked again is paid for again.
    """
    with opened_store() as store:
        record = store.find_run(run)
        asked = store.retry(record.id, unresolved=unresolved)
    if as_json:
        print_json({"run": record.name, "asked_again": asked})
    else:
        out.print(
            f"{asked:,} questions of {record.name} are asked again; workers take them up, or run the job once more"
        )


@commands.command()
@click.argument("run")
@json_option
@examples("headrace cancel support-tickets-3fa9", "headrace cancel last")
def cancel(run: str, as_json: bool) -> None:  # noqa: FBT001
    """Stop a run. What was answered stays; `retry` takes it up again.

    RUN is a name, its beginning (then the latest such run) or `last`: here it must be given. A run that is done or
    failed stays so, and the exit code is 1; cancelling twice does no harm.
    """
    with opened_store() as store:
        record = store.find_run(run)
        stopped = store.cancel(record.id)
        state = store.run(record.id).state  # it may have ended since it was found
    if as_json:
        print_json({"run": record.name, "state": state.value, "stopped_chunks": stopped})
    elif state is RunState.CANCELLED:
        already = " already" if record.state is RunState.CANCELLED else ""
        out.print(f"{record.name} is cancelled{already}; {stopped:,} chunks were open", markup=False, soft_wrap=True)
    if state is not RunState.CANCELLED:
        raise NothingToCancel(f"{record.name} is {state.value} already: there is nothing left to cancel")
