"""Nights of logs, and what was answered of kinds: the rest of ports.logs.LogStore."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import tables
from pipeline.adapters.postgres.database import Database
from pipeline.domain.logs.events import pattern_digest
from pipeline.domain.logs.nights import Night, night_of


def nights(database: Database, log: str, *, limit: int) -> Sequence[Night]:
    """Return the nights of a log that are done, the latest first."""
    table = tables.log_nights
    query = sa.select(table.c.told).where(table.c.log == log).order_by(table.c.due.desc()).limit(limit)
    with database.begin() as connection:
        return [night_of(told) for told in connection.scalars(query)]


def add_night(database: Database, night: Night) -> Night:
    """Keep a night that is done, unless there is one of the same moment."""
    table = tables.log_nights
    new = insert(table).values(log=night.log, due=night.due, told=night.as_json()).on_conflict_do_nothing()
    with database.begin() as connection:
        connection.execute(new)
        kept = connection.scalar(sa.select(table.c.told).where(table.c.log == night.log, table.c.due == night.due))
    return night if kept is None else night_of(kept)


def kind_answers(database: Database, log: str, asked_by: str | None) -> Mapping[str, Mapping[str, str]]:
    """Return pattern → step → answer."""
    pattern, answer = tables.log_patterns, tables.log_answers
    query = (
        sa.select(pattern.c.pattern, answer.c.told)
        .join(answer, answer.c.pattern_id == pattern.c.id)
        .where(pattern.c.log == log)
    )
    if asked_by is not None:
        query = query.where(answer.c.asked_by == asked_by)
    with database.begin() as connection:
        return {row.pattern: row.told for row in connection.execute(query)}


def add_kind_answers(database: Database, log: str, asked_by: str, answers: Mapping[str, Mapping[str, str]]) -> None:
    """Keep what is answered of kinds, at each of their patterns."""
    pattern, answer = tables.log_patterns, tables.log_answers
    digests = {pattern_digest(one): told for one, told in answers.items()}
    known = sa.select(pattern.c.id, pattern.c.digest).where(
        pattern.c.log == log, pattern.c.digest == sa.any_(sa.literal(list(digests), sa.ARRAY(sa.LargeBinary)))
    )
    with database.begin() as connection:
        rows = [
            {"pattern_id": row.id, "asked_by": asked_by, "told": dict(digests[bytes(row.digest)])}
            for row in connection.execute(known.order_by(pattern.c.id))
        ]
        if rows:
            new = insert(answer)
            there = {"asked_by": new.excluded.asked_by, "told": new.excluded.told, "at": sa.func.now()}
            connection.execute(new.on_conflict_do_update(index_elements=[answer.c.pattern_id], set_=there), rows)
