"""labels: texts of a run for people to label, and their labels."""

from pathlib import Path
from typing import Literal

import click

from pipeline.cli.main import commands
from pipeline.cli.reports import opened_store
from pipeline.cli.sweeping import open_tools
from pipeline.cli.terminal import err, examples, json_option, out, print_json
from pipeline.domain.errors import ConfigError
from pipeline.ports.labels import Which
from pipeline.settings import load_settings
from pipeline.wiring.labelling import export_labels, import_labels
from pipeline.wiring.servers import Role

_ALL: tuple[Which, ...] = ("drawn", "unresolved", "audited")
_MOST_SHOWN = 5


@commands.group("labels")
@examples("headrace labels export last to-label.csv", "headrace labels import last to-label.csv")
def labels() -> None:
    """Have people say what is right of some texts of a run.

    A job whose [target] has reference = "labels" draws texts at random and waits until they are labelled; texts that no
    tier could answer, and those that were audited, can be labelled too. Labels stand in results in place of a tier's
    answer, with `people` as the tier, and `headrace learn --run` learns from them.
    """


@labels.command("export")
@click.argument("run")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--of",
    "which",
    type=click.Choice([*_ALL, "all"]),
    default="drawn",
    show_default=True,
    help="Drawn for a certificate, left unresolved, audited, or all of these.",
)
@json_option
@examples(
    "headrace labels export last to-label.csv",
    "headrace labels export last hard.jsonl --of unresolved",
)
def export_command(run: str, file: Path, which: Which | Literal["all"], as_json: bool) -> None:  # noqa: FBT001
    """Write texts that are not labelled yet into FILE: a table (.csv), or JSON Lines.

    Fill in a column for each step, or for each field of a record; write null where no label fits or the text does not
    say. In JSON Lines add an answer for each step to the objects. The file holds customers' texts and only you can
    read it.
    RUN is a name, its beginning (then the latest such run) or `last`.
    """
    with opened_store() as store:
        record = store.find_run(run)
        count = export_labels(store, record, _ALL if which == "all" else (which,), file)
    if as_json:
        print_json({"run": record.name, "texts": count, "file": str(file) if count else None})
    elif count:
        out.print(
            f"{count:,} texts in {file}: fill it in, then `headrace labels import {record.name} {file}`",
            markup=False,
            soft_wrap=True,
        )
    else:
        out.print(f"{record.name} has nothing to label ({which})", markup=False, soft_wrap=True)


@labels.command("import")
@click.argument("run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@examples("headrace labels import last to-label.csv", "headrace labels import last hard.jsonl --json")
def import_command(run: str, file: Path, as_json: bool) -> None:  # noqa: FBT001
    """Take people's labels out of FILE, and decide what waited for them.

    Rows and steps that are left empty are passed over; labels given again replace the earlier ones. Where a label is
    none of the step's, nothing of the file is kept. The run goes on by workers that are up, or run the job once more.
    """
    with open_tools(load_settings(), Role.REPORT) as tools:
        record = tools.store.find_run(run)
        done = import_labels(tools.store, tools.queue, record, file)
        now = tools.store.run(record.id)
    if done.unknown_keys and not done.labels:
        raise ConfigError(f"no item of {record.name} has a key of {file}: name the run that it was exported from")
    if as_json:
        print_json(
            {
                "run": record.name,
                "state": now.state.value,
                "labels": done.labels,
                "unknown_keys": list(done.unknown_keys),
                "decided": list(done.said),
            }
        )
        return
    out.print(
        f"{done.labels:,} labels of {record.name} are kept; it is {now.state.value}", markup=False, soft_wrap=True
    )
    for line in (*done.said, *((now.reason,) if now.reason and now.reason not in done.said else ())):
        out.print(line, markup=False, soft_wrap=True)
    if done.unknown_keys:
        shown = ", ".join(done.unknown_keys[:_MOST_SHOWN])
        err.print(f"{len(done.unknown_keys):,} keys are of no item of the run: {shown}", markup=False, soft_wrap=True)
