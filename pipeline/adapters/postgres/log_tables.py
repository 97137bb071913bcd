"""The tables of log events; see `tables`."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from pipeline.adapters.postgres.schema import metadata, moment

# How far each file of a log was read; see ports.logs.Place.
log_files = sa.Table(
    "log_files",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("layout", sa.Text, nullable=False),
    sa.Column("head", sa.LargeBinary, nullable=False),
    sa.Column("read_bytes", sa.BigInteger, nullable=False),
    sa.Column("tail_bytes", sa.Integer, nullable=False),
    sa.Column("tail", sa.LargeBinary, nullable=False),
    sa.Column("lines", sa.BigInteger, nullable=False),
    moment("read_at", now=True),
    sa.CheckConstraint("tail_bytes <= read_bytes", name="tail_was_read"),
    sa.Index("ix_log_files_head", "log", "head"),
)

# A pattern never changes; which patterns are of one kind is worked out from all of them when it is asked.
log_patterns = sa.Table(
    "log_patterns",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("pattern", sa.Text, nullable=False),
    sa.Column("events", sa.BigInteger, nullable=False, server_default="0"),
    moment("first_at"),
    moment("last_at"),
    moment("first_seen", now=True),
    sa.UniqueConstraint("log", "digest"),
)

# How often a pattern came, hour by hour: what reports and rates are made of without reading events.
log_hours = sa.Table(
    "log_hours",
    metadata,
    sa.Column("pattern_id", sa.BigInteger, sa.ForeignKey("log_patterns.id"), primary_key=True, autoincrement=False),
    sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("events", sa.BigInteger, nullable=False),
)

# What was answered of a kind of event, kept at each of its patterns, for these never change; or of a value of a kind.
log_answers = sa.Table(
    "log_answers",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("told", sa.JSON, nullable=False),
    moment("at", now=True),
)

# A night that is done: what it brought, as people are told.
log_nights = sa.Table(
    "log_nights",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("due", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("told", sa.JSON, nullable=False),
    moment("at", now=True),
)

# A partition a day, made when its first event comes. No foreign keys: events are many, and written with their file.
log_events = sa.Table(
    "log_events",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("file_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("line", sa.BigInteger, primary_key=True, autoincrement=False),
    moment("at"),
    sa.Column("pattern_id", sa.BigInteger, nullable=False),
    sa.Column("header", ARRAY(sa.Text), nullable=False),
    sa.Column("said", ARRAY(sa.Text), nullable=False),
    sa.Column("following", sa.Text, nullable=False, server_default=""),
    sa.Index("ix_log_events_pattern_id", "pattern_id"),
    postgresql_partition_by="RANGE (day)",
)
