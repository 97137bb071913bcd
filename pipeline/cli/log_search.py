"""logs search, logs export: stored events, found and written."""

import dataclasses
import datetime as dt
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.cli.exports import check_output, replaced, write_parquet
from pipeline.cli.logs import logs
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import err, examples, json_option, print_json
from pipeline.domain.errors import ConfigError
from pipeline.domain.logs.events import content_of
from pipeline.domain.visible import visible
from pipeline.ports.logs import LogStore, StoredEvent, Wanted
from pipeline.wiring.log_asking import Entities
from pipeline.wiring.log_kinds import kinds_of

LOG = click.argument("log", metavar="LOG")
MOST_LINES = 100_000_000
_LOOKED_AT = 200
"""Events by which the fields of a log are told."""
_COLUMNS = {
    "file": "string",
    "line": "int64",
    "at": "moment",
    "header": "string",
    "pattern": "string",
    "template": "string",
    "values": "strings",
    "following": "string",
    "entities": "string",
}


class Moment(click.ParamType[dt.datetime]):
    """A moment: an ISO date or time; without a zone in UTC."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Return it."""
        try:
            found = dt.datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no date or time; write 2026-11-27 or 2026-11-27T04:00", param, ctx)
        try:
            return found.replace(tzinfo=found.tzinfo or dt.UTC).astimezone(dt.UTC)
        except OverflowError:
            self.fail(f"{value!r} is no moment of the years 1 to 9999 in UTC", param, ctx)


TEMPLATE = click.option("--template", help="Only events of this kind, as `logs kinds` writes it.")
ANSWER = click.option(
    "--answer", "answers", multiple=True, metavar="STEP=TEXT", help="Kinds of which a step says this; may be repeated."
)
FIELD = click.option(
    "--field", "fields", multiple=True, metavar="NAME=TEXT", help="A header field says this; may be repeated."
)
_SINCE = click.option("--since", type=Moment(), help="From this moment on (ISO; UTC unless it says otherwise).")
_UNTIL = click.option("--until", type=Moment(), help="Before this moment.")


@logs.command()
@LOG
@click.argument("value", required=False)
@TEMPLATE
@ANSWER
@FIELD
@click.option("--where", metavar="NAME=TEXT", help="An entity of the content says this, as in user=root.")
@_SINCE
@_UNTIL
@click.option("--limit", type=click.IntRange(1, MOST_LINES), default=100, show_default=True, help="How many at most.")
@json_option
@examples(
    "headrace logs search web 10.0.0.7 --since 2026-11-26",
    "headrace logs search web --field level=ERROR --json",
    "headrace logs search web --where user=root --json",
    "headrace logs search web --answer severity=high --since 2026-11-29",
    "headrace logs search web --template 'session opened for user <*>'",
)
def search(
    log: str,
    value: str | None,
    template: str | None,
    answers: tuple[str, ...],
    fields: tuple[str, ...],
    where: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """Find events of a stored LOG in the order of their moments; VALUE is a value or header field, exactly.

    With --json one document a line.
    """
    with opened_store() as store:
        wanted = wanted_by(store, log, value, template, answers, fields, since, until)
        entities = Entities(store, log) if as_json or where is not None else None
        some = False
        for found in _found(store, log, wanted, where, limit, entities):
            show(found, entities if as_json else None)
            some = True
        if not some:
            kinds_of(store, log)  # says so where there is no such log
            _hint(store, log, wanted.fields)


def _hint(store: LogStore, log: str, asked: Mapping[str, str]) -> None:
    """Say which fields there are, where one was asked for that no recent event has."""
    recent = store.latest(log, Wanted(), limit=_LOOKED_AT) or list(store.find(log, Wanted(), limit=_LOOKED_AT))
    known = sorted({name for one in recent for name in one.event.header})
    for name in asked:
        if name not in known:
            err.print(f"no recent event of {log} has a field {name}; they have: {', '.join(known)}", markup=False)


def _found(
    store: LogStore, log: str, wanted: Wanted, where: str | None, limit: int, entities: Entities | None
) -> Iterator[StoredEvent]:
    if where is None or entities is None:
        yield from store.find(log, wanted, limit=limit)
        return
    ((name, text),) = _pairs("--where", (where,), "user=root").items()
    places = {
        pattern: at
        for pattern, at in entities.places(name, text).items()
        if wanted.patterns is None or pattern in wanted.patterns
    }
    may_be = store.find(log, dataclasses.replace(wanted, places=places, said=text, named=name), limit=None)
    said = (one for one in may_be if any((each.name, each.text) == (name, text) for each in entities.of(one.event)))
    yield from itertools.islice(said, limit)


def wanted_by(
    store: LogStore,
    log: str,
    value: str | None,
    template: str | None,
    answers: tuple[str, ...],
    fields: tuple[str, ...],
    since: dt.datetime | None,
    until: dt.datetime | None,
) -> Wanted:
    """Return what options ask for; raises ConfigError for a kind that is not there."""
    check_text("VALUE", value)
    said, asked = _pairs("--field", fields, "level=ERROR"), _pairs("--answer", answers, "severity=high")
    of: list[str] | None = None
    if template is not None or asked:
        kinds = kinds_of(store, log)
        if template is not None and all(one.template != template for one in kinds):
            raise ConfigError(f"log {log} has no kind {template!r}: `headrace logs kinds {log}` lists them")
        of = [
            pattern
            for one in kinds
            if template in {None, one.template} and asked.items() <= (one.answers or {}).items()
            for pattern in one.patterns
        ]
    return Wanted(patterns=of, value=value, since=since, until=until, fields=said)


def _pairs(option: str, given: tuple[str, ...], example: str) -> dict[str, str]:
    wrong = next((one for one in given if "=" not in one), None)
    if wrong is not None:
        raise ConfigError(f"{option} {wrong}: write NAME=TEXT, as in {example}")
    for one in given:
        check_text(option, one)
    return dict(one.split("=", 1) for one in given)


def check_text(option: str, said: str | None) -> None:
    """Raise ConfigError for what is no text."""
    try:
        (said or "").encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{option}: that is no UTF-8 text; such bytes are stored in hexadecimal, as \\xe9") from None


def _plain(found: StoredEvent, entities: Entities) -> dict[str, Any]:
    event = found.event
    return {
        "file": found.file,
        "line": event.line,
        "at": event.at,
        "header": dict(event.header),
        "pattern": event.pattern,
        "template": entities.template_of.get(event.pattern, event.pattern),
        "values": list(event.values),
        "following": event.following,
        "entities": [{"name": one.name, "type": one.type, "text": one.text} for one in entities.of(event)],
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"at": None if row["at"] is None else row["at"].isoformat()}


def show(found: StoredEvent, entities: Entities | None) -> None:
    """Print an event; with `entities` as JSON."""
    event = found.event
    if entities is not None:
        print_json(_shown(_plain(found, entities)))
        return
    moment = "-" if event.at is None else f"{event.at:%Y-%m-%d %H:%M:%S}"
    level = f" {event.header['level']}" if "level" in event.header else ""
    click.echo(visible(f"{moment}{level} {found.file}:{event.line} {content_of(event)}"))
    if event.following:
        click.echo(visible(event.following))


@logs.command()
@LOG
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@TEMPLATE
@ANSWER
@_SINCE
@_UNTIL
@examples(
    "headrace logs export web web.parquet",
    "headrace logs export web errors.jsonl --template 'disk <*> is full' --since 2026-11-26",
)
def export(
    log: str,
    output: Path,
    template: str | None,
    answers: tuple[str, ...],
    since: dt.datetime | None,
    until: dt.datetime | None,
) -> None:
    """Write events of a stored LOG into OUTPUT: Parquet (.parquet) or JSON Lines (.jsonl), by their moments.

    The columns are those of `logs search --json`; in Parquet `header` is JSON, `values` a list and `at` a timestamp.
    """
    style = check_output(output)
    if style == "csv":
        raise ConfigError("events have lists in them: give an OUTPUT that ends in .parquet or .jsonl")
    with opened_store() as store, replaced(output) as partial:
        found = store.find(log, wanted_by(store, log, None, template, answers, (), since, until), limit=None)
        kinds_of(store, log)
        entities = Entities(store, log)
        rows = (_plain(one, entities) for one in found)
        if style == "parquet":
            write_parquet(rows, _COLUMNS, partial)
        else:
            with partial.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(_shown(row), ensure_ascii=False) + "\n" for row in rows)
    err.print(f"written to {output}", markup=False, soft_wrap=True)
