"""Nights of logs, and what was answered of kinds and values: the rest of ports.logs.LogStore."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import log_tables
from pipeline.adapters.postgres.database import Database
from pipeline.domain.logs.events import pattern_digest
from pipeline.domain.logs.nights import Night, night_of


def nights(database: Database, log: str, *, limit: int) -> Sequence[Night]:
    """Return the nights of a log that are done, the latest first."""
    table = log_tables.log_nights
    query = sa.select(table.c.told).where(table.c.log == log).order_by(table.c.due.desc()).limit(limit)
    with database.begin() as connection:
        return [night_of(told) for told in connection.scalars(query)]


def add_night(database: Database, night: Night) -> Night:
    """Keep a night that is done, unless there is one of the same moment."""
    table = log_tables.log_nights
    new = insert(table).values(log=night.log, due=night.due, told=night.as_json()).on_conflict_do_nothing()
    with database.begin() as connection:
        connection.execute(new)
        kept = connection.scalar(sa.select(table.c.told).where(table.c.log == night.log, table.c.due == night.due))
    return night if kept is None else night_of(kept)


def answers(database: Database, log: str, asked_by: str | None) -> Mapping[str, Mapping[str, str]]:
    """Return subject → step → answer."""
    table = log_tables.log_answers
    query = sa.select(table.c.subject, table.c.told).where(table.c.log == log)
    if asked_by is not None:
        query = query.where(table.c.asked_by == asked_by)
    with database.begin() as connection:
        return {row.subject: row.told for row in connection.execute(query)}


def add_answers(database: Database, log: str, asked_by: str, said: Mapping[str, Mapping[str, str]]) -> None:
    """Keep what is answered of a log's subjects."""
    rows = [
        {"log": log, "digest": pattern_digest(subject), "subject": subject, "asked_by": asked_by, "told": dict(told)}
        for subject, told in sorted(said.items())
    ]
    if not rows:
        return
    table, new = log_tables.log_answers, insert(log_tables.log_answers)
    there = {"asked_by": new.excluded.asked_by, "told": new.excluded.told, "at": sa.func.now()}
    with database.begin() as connection:
        connection.execute(new.on_conflict_do_update(index_elements=[table.c.log, table.c.digest], set_=there), rows)
