"""Events of logs, a partition a day: ports.logs.LogStore."""

import contextlib
import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import tables
from pipeline.adapters.postgres.database import Database, copy_rows
from pipeline.adapters.postgres.ingest import session_lock
from pipeline.domain.logs.events import Event, hour_of, pattern_digest
from pipeline.domain.logs.headers import LAYOUTS
from pipeline.ports.logs import LogFile, Pattern, Place, Rate, StoredEvent, Wanted

_UNDATED = dt.date(1970, 1, 1)
"""The day of events without a moment."""
_PAGE = 5000
_LOG_LOCKS = 4_841_703
_PARTITION_LOCK = 4_841_704
_EVENT_COLUMNS = ("day", "file_id", "line", "at", "pattern_id", "header", "said", "following")
_COUNT = sa.text("""
UPDATE log_patterns p SET events = p.events + n.events,
       first_at = least(p.first_at, n.first_at), last_at = greatest(p.last_at, n.last_at)
  FROM unnest(CAST(:ids AS bigint[]), CAST(:counts AS bigint[]), CAST(:firsts AS timestamptz[]),
              CAST(:lasts AS timestamptz[])) AS n (id, events, first_at, last_at)
 WHERE p.id = n.id
""")

_COUNT_HOURS = sa.text("""
INSERT INTO log_hours AS h (pattern_id, hour, events)
SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:hours AS timestamptz[]), CAST(:counts AS bigint[]))
    ON CONFLICT (pattern_id, hour) DO UPDATE SET events = h.events + excluded.events
""")


@contextlib.contextmanager
def log_lock(database: Database, log: str) -> Iterator[bool]:
    """Hold the right to add to a log."""
    number = int.from_bytes(hashlib.sha256(log.encode()).digest()[:4], signed=True)
    with session_lock(database, _LOG_LOCKS, number) as held:
        yield held


def files(database: Database, log: str, head: bytes) -> Sequence[LogFile]:
    """Return the files of a log whose first line has this digest, the farthest read first."""
    table = tables.log_files
    query = sa.select(table).where(table.c.log == log, table.c.head == head).order_by(table.c.read_bytes.desc())
    with database.begin() as connection:
        return [_file(row) for row in connection.execute(query)]


def _file(row: "sa.Row[Any]") -> LogFile:
    place = Place(head=row.head, offset=row.read_bytes, tail_length=row.tail_bytes, tail=row.tail, line=row.lines)
    return LogFile(id=row.id, name=row.name, layout=row.layout, place=place)


def add_events(
    database: Database, log: str, file: LogFile | None, *, name: str, layout: str, place: Place, events: Sequence[Event]
) -> LogFile | None:
    """Store events and how far their file was read; None where somebody else has read it on meanwhile."""
    with database.begin() as connection:
        kept = _kept(connection, log, file, name=name, layout=layout, place=place)
        if kept is None:
            return None
        ids = _patterns(connection, log, events)
        days = {_day(event) for event in events}
        for day in sorted(days):
            _partition(connection, day)
        names = LAYOUTS[layout].names
        rows = [
            (
                _day(event),
                kept.id,
                event.line,
                event.at,
                ids[event.pattern],
                [event.header.get(field) for field in names],
                list(event.values),
                event.following,
            )
            for event in events
        ]
        copy_rows(connection, tables.log_events, _EVENT_COLUMNS, rows)
        return kept


def _kept(
    connection: sa.Connection, log: str, file: LogFile | None, *, name: str, layout: str, place: Place
) -> LogFile | None:
    table = tables.log_files
    values = {
        "name": name,
        "read_bytes": place.offset,
        "tail_bytes": place.tail_length,
        "tail": place.tail,
        "lines": place.line,
    }
    if file is None:
        new = {**values, "log": log, "layout": layout, "head": place.head}
        row = connection.execute(table.insert().values(new).returning(table)).one()
        return _file(row)
    found = connection.execute(
        table.update()
        .where(table.c.id == file.id, table.c.read_bytes == file.place.offset)
        .values({**values, "read_at": sa.func.now()})
        .returning(table)
    ).one_or_none()
    return None if found is None else _file(found)


def _patterns(connection: sa.Connection, log: str, events: Sequence[Event]) -> dict[str, int]:
    """Make new patterns, count the events of each, and return their numbers."""
    table = tables.log_patterns
    digests = {event.pattern: pattern_digest(event.pattern) for event in events}
    new = [{"log": log, "digest": digests[pattern], "pattern": pattern} for pattern in sorted(digests)]
    connection.execute(insert(table).on_conflict_do_nothing(), new)
    query = sa.select(table.c.id, table.c.digest).where(table.c.log == log, table.c.digest.in_(digests.values()))
    by_digest = {bytes(row.digest): row.id for row in connection.execute(query)}
    ids = {pattern: by_digest[digest] for pattern, digest in digests.items()}
    counts: dict[int, list[Any]] = {number: [0, None, None] for number in sorted(ids.values())}
    for event in events:
        count = counts[ids[event.pattern]]
        count[0] += 1
        if event.at is not None:
            count[1] = event.at if count[1] is None else min(count[1], event.at)
            count[2] = event.at if count[2] is None else max(count[2], event.at)
    columns = [list(column) for column in zip(*counts.values(), strict=True)]
    connection.execute(_COUNT, {"ids": list(counts), "counts": columns[0], "firsts": columns[1], "lasts": columns[2]})
    _hours(connection, ids, events)
    return ids


def _hours(connection: sa.Connection, ids: Mapping[str, int], events: Sequence[Event]) -> None:
    hours = Counter((ids[event.pattern], hour_of(event.at)) for event in events if event.at is not None)
    if hours:
        places = sorted(hours)
        numbers = [number for number, _ in places]
        moments, counts = [hour for _, hour in places], [hours[place] for place in places]
        connection.execute(_COUNT_HOURS, {"ids": numbers, "hours": moments, "counts": counts})


def _day(event: Event) -> dt.date:
    return _UNDATED if event.at is None else event.at.astimezone(dt.UTC).date()


def _partition(connection: sa.Connection, day: dt.date) -> None:
    """Make a day's partition unless it is there; one process at a time, or two would make the same."""
    name = f"log_events_{day:%Y%m%d}"
    if connection.scalar(sa.text("SELECT to_regclass(:name) IS NOT NULL"), {"name": name}):
        return
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PARTITION_LOCK})
    until = day + dt.timedelta(days=1)
    # Of dates only: nothing of a log's text is part of the statement.
    connection.execute(
        sa.text(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF log_events FOR VALUES FROM ('{day}') TO ('{until}')")
    )


def patterns(database: Database, log: str) -> Sequence[Pattern]:
    """Return the patterns of a log, the commonest first."""
    table = tables.log_patterns
    query = sa.select(table).where(table.c.log == log, table.c.events > 0)
    with database.begin() as connection:
        rows = connection.execute(query.order_by(table.c.events.desc(), table.c.pattern)).all()
    return [
        Pattern(
            pattern=row.pattern,
            events=row.events,
            first_at=row.first_at,
            last_at=row.last_at,
            first_seen=row.first_seen,
        )
        for row in rows
    ]


def rates(database: Database, log: str, *, since: dt.datetime, until: dt.datetime) -> Sequence[Rate]:
    """Return how often each pattern came in each hour that begins in a time."""
    hours, pattern = tables.log_hours, tables.log_patterns
    query = (
        sa.select(pattern.c.pattern, hours.c.hour, hours.c.events)
        .join(pattern, pattern.c.id == hours.c.pattern_id)
        .where(pattern.c.log == log, hours.c.hour >= since, hours.c.hour < until)
        .order_by(hours.c.hour, pattern.c.pattern)
    )
    with database.begin() as connection:
        return [Rate(pattern=row.pattern, hour=row.hour, events=row.events) for row in connection.execute(query)]


def find(database: Database, log: str, wanted: Wanted, *, limit: int | None) -> Iterator[StoredEvent]:
    """Yield events by their moments, those without one at the end."""
    event, pattern, file = tables.log_events, tables.log_patterns, tables.log_files
    query = (
        sa.select(event, pattern.c.pattern, file.c.name, file.c.layout)
        .join(pattern, pattern.c.id == event.c.pattern_id)
        .join(file, file.c.id == event.c.file_id)
        .where(pattern.c.log == log, file.c.log == log, *_conditions(wanted))
        .order_by(event.c.at.nulls_last(), file.c.name, event.c.file_id, event.c.line)
        .limit(limit)
    )
    with database.begin() as connection:
        for row in connection.execution_options(yield_per=_PAGE).execute(query):
            yield _stored(row)


def _stored(row: "sa.Row[Any]") -> StoredEvent:
    names = LAYOUTS[row.layout].names if row.layout in LAYOUTS else ()
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


def _conditions(wanted: Wanted) -> Iterator[sa.ColumnElement[bool]]:
    event, pattern, file = tables.log_events, tables.log_patterns, tables.log_files
    if wanted.patterns is not None:
        # One array, and not a parameter each: a kind may have more patterns than a statement may have parameters.
        digests = sa.literal([pattern_digest(one) for one in wanted.patterns], sa.ARRAY(sa.LargeBinary))
        yield pattern.c.digest == sa.any_(digests)
    if wanted.since is not None:
        yield sa.and_(event.c.at >= wanted.since, event.c.day >= wanted.since.astimezone(dt.UTC).date())
    if wanted.until is not None:
        yield sa.and_(event.c.at < wanted.until, event.c.day <= wanted.until.astimezone(dt.UTC).date())
    if wanted.value is not None:
        value = sa.literal(wanted.value, sa.Text)
        yield sa.or_(value == sa.any_(event.c.said), value == sa.any_(event.c.header))
    for name, text in wanted.fields.items():
        places = {layout.name: layout.names.index(name) + 1 for layout in LAYOUTS.values() if name in layout.names}
        yield sa.or_(
            sa.false(), *(sa.and_(file.c.layout == one, event.c.header[at] == text) for one, at in places.items())
        )
