"""dead list, dead show, dead requeue: items that break whoever answers them."""

from collections.abc import Collection, Sequence

import click
from rich.table import Table
from rich.text import Text

from pipeline.cli.main import commands
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import examples, json_option, out, print_json, run_argument
from pipeline.domain.dead import DeadItem
from pipeline.domain.errors import ConfigError


@commands.group()
@examples("headrace dead list last", "headrace dead requeue last T-1041")
def dead() -> None:
    """Look at items that break the workers, and ask them again.

    A chunk whose worker is killed or fails five times is halved, and its halves in their turn, until the item that does
    it stands alone: all others are answered. Its run ends failed, and the item is a dead letter. So is an item
    whose next call could bring it above the budget's per_item_usd: `headrace budget` gives more, `requeue` asks again.
    """


@dead.command("list")
@run_argument
@json_option
@examples("headrace dead list last", "headrace dead list support-tickets-3fa9 --json")
def list_dead(run: str, *, as_json: bool) -> None:
    """List the dead letters of a RUN: which item, at which tier, why. Texts are not shown.

    RUN is a name, its beginning (then the latest such run) or `last`, which is the default.
    """
    with opened_store() as store:
        record = store.find_run(run)
        found = store.dead(record.id)
    if as_json:
        print_json({"run": record.name, "dead": [one.as_json() for one in found]})
        return
    if not found:
        out.print(f"{record.name} has no dead letters", markup=False)
        return
    table = Table("key", "where", "steps", "tier", "reason")
    for one in found:
        with_others = f" (with {one.with_others:,} others in its chunk)" if one.with_others else ""
        table.add_row(
            *map(Text, (one.key, f"{one.source}:{one.line}", ", ".join(one.steps), one.tier, one.reason + with_others))
        )
    out.print(table)
    out.print(f"ask again: headrace dead requeue {record.name} [KEY…]", markup=False, soft_wrap=True)


@dead.command()
@click.argument("run")
@click.argument("key")
@json_option
@examples("headrace dead show last T-1041")
def show(run: str, key: str, *, as_json: bool) -> None:
    """Show one dead letter of a RUN, its text included: what it says may be hostile. None: its text was erased."""
    with opened_store() as store:
        (one, *_) = _named(store.dead(store.find_run(run).id), [key])
    told = one.as_json(with_text=True)
    if not one.text:  # it was kept for HEADRACE_KEEP_TEXT_DAYS
        told["text"] = None
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        shown = ", ".join(value) if isinstance(value, list) else str(value)
        out.print(f"{name}: {shown}", markup=False, highlight=False, soft_wrap=True)


@dead.command()
@click.argument("run")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@json_option
@examples("headrace dead requeue last", "headrace dead requeue support-tickets-3fa9 T-1041 T-1077")
def requeue(run: str, keys: tuple[str, ...], *, as_json: bool) -> None:
    """Ask dead letters of a RUN again: those with these KEYs, or all. What is answered stays.

    This starts no worker: run the job once more over the same input, or have workers up.
    """
    with opened_store() as store:
        record = store.find_run(run)
        wanted = None if not keys else [one.item_no for one in _named(store.dead(record.id), keys)]
        asked = store.requeue(record.id, wanted)
    if as_json:
        print_json({"run": record.name, "asked_again": asked})
    else:
        out.print(f"{asked:,} questions of {record.name} are asked again; workers take them up", soft_wrap=True)


def _named(found: Sequence[DeadItem], keys: Collection[str]) -> list[DeadItem]:
    """Return the dead letters with these keys; raises ConfigError for a key that has none."""
    missing = set(keys) - {one.key for one in found}
    if missing:
        raise ConfigError(f"no dead letter has the key {min(missing)}: `headrace dead list` lists them")
    return [one for one in found if one.key in keys]
