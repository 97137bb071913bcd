"""logs tail: the latest events of a stored log, and those that come."""

import dataclasses
import datetime as dt

import click

from pipeline.cli.log_search import ANSWER, FIELD, LOG, TEMPLATE, show, wanted_by
from pipeline.cli.logs import logs
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import examples, json_option
from pipeline.ports.logs import LogStore, Wanted
from pipeline.wiring.log_asking import Entities
from pipeline.wiring.parts import system_clock

_LOOK_EVERY_S = 1.0
_MOST_AT_ONCE = 10_000


@logs.command()
@LOG
@click.option("--lines", "-n", "count", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
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

    With --follow those that are loaded later, too, if their moments are later than all that were shown.
    """
    with opened_store() as store:
        wanted = wanted_by(store, log, None, template, answers, fields, None, None)
        last = _show_latest(store, log, wanted, count, as_json=as_json)
        while follow:
            system_clock().sleep(_LOOK_EVERY_S)
            later = dataclasses.replace(wanted, since=None if last is None else last + dt.timedelta(microseconds=1))
            last = _show_latest(store, log, later, _MOST_AT_ONCE, as_json=as_json) or last


def _show_latest(store: LogStore, log: str, wanted: Wanted, count: int, *, as_json: bool) -> dt.datetime | None:
    """Show events; returns the moment of the last."""
    found = store.latest(log, wanted, limit=count)
    entities = Entities(store, log) if as_json and found else None
    for one in found:
        show(one, entities)
    return found[-1].event.at if found else None
