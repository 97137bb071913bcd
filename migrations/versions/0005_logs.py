"""Logs: files and how far they were read, patterns, how often each came by the hour, and events by day.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "log_files",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("layout", sa.Text(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("read_bytes", sa.BigInteger(), nullable=False),
        sa.Column("tail_bytes", sa.Integer(), nullable=False),
        sa.Column("tail", sa.LargeBinary(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("tail_bytes <= read_bytes", name=op.f("ck_log_files_tail_was_read")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_files")),
    )
    op.create_index("ix_log_files_head", "log_files", ["log", "head"])
    op.create_table(
        "log_patterns",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_patterns")),
        sa.UniqueConstraint("log", "digest", name=op.f("uq_log_patterns_log_digest")),
    )
    op.create_table(
        "log_hours",
        sa.Column("pattern_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["pattern_id"], ["log_patterns.id"], name=op.f("fk_log_hours_pattern_id")),
        sa.PrimaryKeyConstraint("pattern_id", "hour", name=op.f("pk_log_hours")),
    )
    op.create_table(
        "log_events",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("file_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pattern_id", sa.BigInteger(), nullable=False),
        sa.Column("header", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("said", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("following", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("day", "file_id", "line", name=op.f("pk_log_events")),
        postgresql_partition_by="RANGE (day)",
    )
    op.create_index("ix_log_events_pattern_id", "log_events", ["pattern_id"])


def downgrade() -> None:
    op.drop_table("log_events")
    op.drop_table("log_hours")
    op.drop_table("log_patterns")
    op.drop_table("log_files")
