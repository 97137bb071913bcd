"""Events of logs, a partition a day: ports.logs.LogStore."""

import contextlib
import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import log_rows, log_tables
from pipeline.adapters.postgres.database import Database, copy_text
from pipeline.adapters.postgres.ingest import session_lock
from pipeline.domain.logs.batches import Batch, Seen
from pipeline.domain.logs.events import pattern_digest
from pipeline.ports.logs import LogFile, Pattern, Place, Rate

_LOG_LOCKS = 4_841_706
_PARTITION_LOCK = 4_841_704
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
    table = log_tables.log_files
    query = sa.select(table).where(table.c.log == log, table.c.head == head).order_by(table.c.read_bytes.desc())
    with database.begin() as connection:
        return [_file(row) for row in connection.execute(query)]


def _file(row: "sa.Row[Any]") -> LogFile:
    place = Place(head=row.head, offset=row.read_bytes, tail_length=row.tail_bytes, tail=row.tail, line=row.lines)
    return LogFile(id=row.id, name=row.name, layout=row.layout, place=place)


def add_events(
    database: Database, log: str, file: LogFile | None, *, name: str, layout: str, place: Place, batch: Batch
) -> LogFile | None:
    """Store events and how far their file was read; None where somebody else has read it on meanwhile."""
    with database.begin() as connection:
        kept = _kept(connection, log, file, name=name, layout=layout, place=place)
        if kept is None:
            return None
        ids = _patterns(connection, log, batch.patterns)
        for day in sorted(map(log_rows.day_of, batch.days)):
            _partition(connection, day)
        lines = b"".join([log_rows.completed(rows, ids[pattern], kept.id) for pattern, rows in batch.rows.items()])
        copy_text(connection, log_tables.log_events, log_rows.COLUMNS, lines)
        return kept


def _kept(
    connection: sa.Connection, log: str, file: LogFile | None, *, name: str, layout: str, place: Place
) -> LogFile | None:
    table = log_tables.log_files
    values = {
        "name": name,
        "read_bytes": place.offset,
        "tail_bytes": place.tail_length,
        "tail": place.tail,
        "lines": place.line,
        "layout": layout,
    }
    if file is None:
        new = {**values, "log": log, "head": place.head}
        row = connection.execute(table.insert().values(new).returning(table)).one()
        return _file(row)
    found = connection.execute(
        table.update()
        .where(table.c.id == file.id, table.c.read_bytes == file.place.offset)
        .values({**values, "read_at": sa.func.now()})
        .returning(table)
    ).one_or_none()
    return None if found is None else _file(found)


def _patterns(connection: sa.Connection, log: str, seen: Mapping[str, Seen]) -> dict[str, int]:
    """Make new patterns, count the events of each, and return their numbers."""
    if not seen:
        return {}
    table = log_tables.log_patterns
    digests = {pattern: pattern_digest(pattern) for pattern in seen}
    by_digest = _numbers(connection, log, digests.values())
    new = [
        {"log": log, "digest": digests[pattern], "pattern": pattern}
        for pattern in sorted(seen)
        if digests[pattern] not in by_digest
    ]
    if new:
        connection.execute(insert(table).on_conflict_do_nothing(), new)
        by_digest = _numbers(connection, log, digests.values())
    ids = {pattern: by_digest[digest] for pattern, digest in digests.items()}
    in_order = sorted(seen, key=ids.__getitem__)  # of two who count the same patterns one waits, and neither for ever
    columns = {
        "ids": [ids[pattern] for pattern in in_order],
        "counts": [seen[pattern].events for pattern in in_order],
        "firsts": [seen[pattern].first_at for pattern in in_order],
        "lasts": [seen[pattern].last_at for pattern in in_order],
    }
    connection.execute(_COUNT, columns)
    hours = [(ids[pattern], hour, count) for pattern in in_order for hour, count in sorted(seen[pattern].hours.items())]
    if hours:
        numbers, moments, counts = map(list, zip(*hours, strict=True))
        connection.execute(_COUNT_HOURS, {"ids": numbers, "hours": moments, "counts": counts})
    return ids


def _numbers(connection: sa.Connection, log: str, digests: Iterable[bytes]) -> dict[bytes, int]:
    table = log_tables.log_patterns
    wanted = sa.literal(list(digests), sa.ARRAY(sa.LargeBinary))
    query = sa.select(table.c.id, table.c.digest).where(table.c.log == log, table.c.digest == sa.any_(wanted))
    return {bytes(row.digest): row.id for row in connection.execute(query)}


def _partition(connection: sa.Connection, day: dt.date) -> None:
    """Make a day's partition unless it is there; one process at a time, or two would make the same."""
    name = f"log_events_{day:%Y%m%d}"
    if connection.scalar(sa.text("SELECT to_regclass(:name) IS NOT NULL"), {"name": name}):
        return
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PARTITION_LOCK})
    until = "MAXVALUE" if day == dt.date.max else f"'{day + dt.timedelta(days=1)}'"
    # Of dates only: nothing of a log's text is part of the statement.
    connection.execute(
        sa.text(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF log_events FOR VALUES FROM ('{day}') TO ({until})")
    )


def patterns(database: Database, log: str) -> Sequence[Pattern]:
    """Return the patterns of a log, the commonest first."""
    table = log_tables.log_patterns
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
    hours, pattern = log_tables.log_hours, log_tables.log_patterns
    query = (
        sa.select(pattern.c.pattern, hours.c.hour, hours.c.events)
        .join(pattern, pattern.c.id == hours.c.pattern_id)
        .where(pattern.c.log == log, hours.c.hour >= since, hours.c.hour < until)
        .order_by(hours.c.hour, pattern.c.pattern)
    )
    with database.begin() as connection:
        return [Rate(pattern=row.pattern, hour=row.hour, events=row.events) for row in connection.execute(query)]
