"""forget: a customer's rows, and all that was made of them."""

import click
from rich.table import Table
from rich.text import Text

from pipeline.cli.main import commands
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import err, examples, json_option, out, print_json
from pipeline.domain.forgetting import Forgotten
from pipeline.flow.forgetting import ForgottenKey, forget_key


@commands.command()
@click.option("--key", required=True, help="The key, exactly as the results write it.")
@click.option("--run", "run", help="Only in this run: a name, its beginning, or `last` [default: in all].")
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@json_option
@examples(
    "headrace forget --key T-1041 --dry-run",
    "headrace forget --key T-1041",
    "headrace forget --key 17 --run support-tickets-3fa9 --json",
)
def forget(key: str, run: str | None, dry_run: bool, as_json: bool) -> None:  # noqa: FBT001
    """Erase a key's rows, in all runs: key, text, source and line, answers, confidences, labels. It cannot be undone.

    Counts and costs stay: `status` counts the rows as forgotten, results leave them out, the ledger keeps what their
    calls have cost. Runs may be at work: a worker who is answering such a row is refused. Where a row with another key
    has the same text, text and answers are that row's from then on. Runs whose job names no key know rows by their line
    numbers: these are left out unless --run names one.

    Not erased, for it is not here or not known by key: your inputs (a row sent again, by a Producer or in a changed
    file, is stored again; the same file is not read again), files you exported, events of logs (logs have no keys),
    backups and replicas. What `learn` has learned are numbers by hashes of words: learn again without the row. Old
    versions of the rows go with the VACUUM that follows, old parts of the write-ahead log as Postgres recycles it.
    """
    with opened_store() as store:
        record = None if run is None else store.find_run(run)
        done = forget_key(store, key, run_id=None if record is None else record.id, dry_run=dry_run)
    if as_json:
        print_json({"key": key, "dry_run": dry_run, **done.as_json()})
        return
    _show(done, dry_run=dry_run)


def _show(done: ForgottenKey, *, dry_run: bool) -> None:
    if done.runs:
        out.print(_table(done.runs, "would be erased" if dry_run else "erased"))
    elif not done.left_out:
        out.print("no item has this key", soft_wrap=True)
    for name in done.left_out:
        err.print(
            f"{name}: its job names no key, so this is a line number there: name the run with --run to erase it",
            markup=False,
            soft_wrap=True,
        )


def _table(runs: tuple[Forgotten, ...], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("run", overflow="fold")
    names = ("items", "copies", "passed_on", "attempts", "verdicts", "labels", "waiting", "chunks", "drawings")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for one in runs:
        counts = one.as_json()
        table.add_row(Text(one.run), *(f"{counts[name]:,}" for name in names))
    return table
