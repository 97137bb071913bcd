"""Events of logs found again: ports.logs.LogStore, reading."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from pipeline.adapters.postgres import log_tables
from pipeline.adapters.postgres.database import Database
from pipeline.domain.logs.detection import layout_named
from pipeline.domain.logs.events import Event, pattern_digest
from pipeline.ports.logs import StoredEvent, Wanted

_LOOKED_BACK_DAYS = (1, 31)
_PAGE = 5000
_WITH_PORT = sa.text(
    "EXISTS (SELECT FROM unnest(log_events.said || log_events.header) AS one"
    r" WHERE starts_with(one, :value || ':') AND substr(one, length(:value) + 2) ~ '^\d+$')"
)
_IN_PLACE = sa.text("""
(log_patterns.digest = ANY(CAST(:free AS bytea[])) OR EXISTS (
 SELECT FROM unnest(CAST(:digests AS bytea[]), CAST(:numbers AS integer[])) AS place (digest, number)
  WHERE place.digest = log_patterns.digest
    AND (log_events.said[place.number] = :text OR starts_with(log_events.said[place.number], :text || ':')
         OR right(log_events.said[place.number], length(:text) + 1) = ':' || :text)))
""")


def find(database: Database, log: str, wanted: Wanted, *, limit: int | None) -> Iterator[StoredEvent]:
    """Yield events by their moments, those without one at the end."""
    with database.begin() as connection:
        query = _events(log, wanted, _layouts(connection, log)).order_by(*_order()).limit(limit)
        for row in connection.execution_options(yield_per=_PAGE).execute(query):
            yield _stored(row)


def latest(database: Database, log: str, wanted: Wanted, *, limit: int) -> Sequence[StoredEvent]:
    """Return the events with the latest moments, by their moments."""
    pattern = log_tables.log_patterns
    with database.begin() as connection:
        last = connection.scalar(sa.select(sa.func.max(pattern.c.last_at)).where(pattern.c.log == log))
        if last is None:
            return []
        layouts = _layouts(connection, log)
        last = last if wanted.until is None else min(last, wanted.until)
        for days in (*_LOOKED_BACK_DAYS, None):  # a partition a day: most need only the last
            early = days is None or last.toordinal() <= days  # there is no day before the year 1
            looked_back = None if days is None or early else last - dt.timedelta(days=days)
            since = max((one for one in (wanted.since, looked_back) if one is not None), default=None)
            newest = [one.desc() for one in _order()]
            query = _events(log, replace(wanted, since=since), layouts).where(log_tables.log_events.c.at.is_not(None))
            rows = connection.execute(query.order_by(*newest).limit(limit)).all()
            if len(rows) >= limit or since == wanted.since:
                break
    return [_stored(row) for row in reversed(rows)]


def _layouts(connection: sa.Connection, log: str) -> Sequence[str]:
    layout = log_tables.log_files.c.layout
    return connection.scalars(sa.select(layout).where(log_tables.log_files.c.log == log).distinct()).all()


def _events(log: str, wanted: Wanted, layouts: Sequence[str]) -> "sa.Select[Any]":
    event, pattern, file = log_tables.log_events, log_tables.log_patterns, log_tables.log_files
    return (
        sa.select(event, pattern.c.pattern, file.c.name, file.c.layout)
        .join(pattern, pattern.c.id == event.c.pattern_id)
        .join(file, file.c.id == event.c.file_id)
        .where(pattern.c.log == log, file.c.log == log, *_conditions(wanted, layouts))
    )


def _order() -> "tuple[sa.Column[Any], ...]":
    """Return what events are ordered by; those without a moment come last."""
    event, file = log_tables.log_events, log_tables.log_files
    return event.c.at, file.c.name, event.c.file_id, event.c.line


def _stored(row: "sa.Row[Any]") -> StoredEvent:
    layout = layout_named(row.layout)
    names = () if layout is None else layout.names
    return StoredEvent(
        file=row.name,
        event=Event(
            line=row.line,
            header={name: text for name, text in zip(names, row.header, strict=False) if text is not None},
            pattern=row.pattern,
            values=tuple(row.said),
            following=row.following,
            at=row.at,
        ),
    )


def _conditions(wanted: Wanted, layouts: Sequence[str]) -> Iterator[sa.ColumnElement[bool] | sa.TextClause]:
    event = log_tables.log_events
    if wanted.patterns is not None:
        yield _is_one_of(wanted.patterns)
    if wanted.since is not None:
        yield sa.and_(event.c.at >= wanted.since, event.c.day >= wanted.since.astimezone(dt.UTC).date())
    if wanted.until is not None:
        yield sa.and_(event.c.at < wanted.until, event.c.day <= wanted.until.astimezone(dt.UTC).date())
    if wanted.value is not None:
        value = sa.literal(wanted.value, sa.Text)
        yield sa.or_(
            value == sa.any_(event.c.said), value == sa.any_(event.c.header), _WITH_PORT.bindparams(value=wanted.value)
        )
    if wanted.places is not None:
        at_places = [(pattern_digest(one), place + 1) for one, at in wanted.places.items() for place in at]
        free = [pattern_digest(one) for one, at in wanted.places.items() if not at]
        in_place = _IN_PLACE.bindparams(
            digests=[digest for digest, _ in at_places],
            numbers=[number for _, number in at_places],
            text=wanted.said,
            free=free,
        )
        yield sa.or_(sa.and_(_is_one_of(wanted.places), in_place), _says(wanted.named, wanted.said, layouts))
    for name, text in wanted.fields.items():
        yield _says(name, text, layouts)


def _says(field: str, text: str, layouts: Sequence[str]) -> sa.ColumnElement[bool]:
    """Return whether an event's header says so."""
    event, file = log_tables.log_events, log_tables.log_files
    known = [layout for layout in map(layout_named, layouts) if layout is not None]
    places = {layout.name: layout.names.index(field) + 1 for layout in known if field in layout.names}
    return sa.or_(
        sa.false(), *(sa.and_(file.c.layout == one, event.c.header[at] == text) for one, at in places.items())
    )


def _is_one_of(patterns: Iterable[str]) -> sa.ColumnElement[bool]:
    # One array, and not a parameter each: a kind may have more patterns than a statement may have parameters.
    digests = sa.literal([pattern_digest(one) for one in patterns], sa.ARRAY(sa.LargeBinary))
    return log_tables.log_patterns.c.digest == sa.any_(digests)
