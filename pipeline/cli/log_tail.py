"""logs tail: the latest events of a stored log, and those that come."""

import dataclasses
from collections.abc import Sequence

import click

from pipeline.cli.log_search import ANSWER, FIELD, LOG, MOST_LINES, TEMPLATE, show, wanted_by
from pipeline.cli.logs import logs
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import examples, json_option
from pipeline.ports.logs import LogStore, StoredEvent, Wanted
from pipeline.wiring.log_asking import Entities
from pipeline.wiring.log_kinds import kinds_of
from pipeline.wiring.parts import system_clock

_LOOK_EVERY_S = 1.0
_MOST_AT_ONCE = 10_000


@logs.command()
@LOG
@click.option(
    "--lines", "-n", "count", type=click.IntRange(1, MOST_LINES), default=10, show_default=True, help="How many."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with later events as they are loaded, until Ctrl-C.")
@TEMPLATE
@ANSWER
@FIELD
@json_option
@examples(
    "headrace logs tail web", "headrace logs tail web -f --field level=ERROR", "headrace logs tail web -n 50 --json"
)
def tail(
    log: str,
    count: int,
    template: str | None,
    answers: tuple[str, ...],
    fields: tuple[str, ...],
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """Show the latest events of a stored LOG, by their moments.

    With --follow those that are loaded later, too, if their moments are no earlier than the latest that was shown.
    """
    with opened_store() as store:
        wanted = wanted_by(store, log, None, template, answers, fields, None, None)
        shown = _show_latest(store, log, wanted, count, as_json=as_json, but=())
        if not shown:
            kinds_of(store, log)  # says so where there is no such log
        while follow:
            system_clock().sleep(_LOOK_EVERY_S)
            later = wanted if not shown else dataclasses.replace(wanted, since=shown[-1].event.at)
            found = _show_latest(store, log, later, _MOST_AT_ONCE, as_json=as_json, but=shown)
            shown = [one for one in (*shown, *found) if one.event.at == (found or shown)[-1].event.at]


def _show_latest(
    store: LogStore, log: str, wanted: Wanted, count: int, *, as_json: bool, but: Sequence[StoredEvent]
) -> list[StoredEvent]:
    """Show events that were not shown yet, and return them."""
    known = {(one.file, one.event.line) for one in but}
    found = [one for one in store.latest(log, wanted, limit=count) if (one.file, one.event.line) not in known]
    entities = Entities(store, log) if as_json and found else None
    for one in found:
        show(one, entities)
    return found
