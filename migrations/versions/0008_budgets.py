"""Budgets: what runs may spend, what is reserved for calls in flight, and answers that stand for want of money.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

USD = sa.Numeric(24, 12)


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("usd", USD, nullable=False),
        sa.Column("on_exhausted", sa.Text(), nullable=False),
        sa.Column("settled_usd", USD, server_default="0", nullable=False),
        sa.Column("reserved_usd", USD, server_default="0", nullable=False),
        sa.CheckConstraint("usd > 0 AND settled_usd >= 0 AND reserved_usd >= 0", name=op.f("ck_budgets_money")),
        sa.CheckConstraint("on_exhausted IN ('hold', 'accept', 'stop')", name=op.f("ck_budgets_on_exhausted")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_budgets_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_budgets")),
    )
    op.create_table(
        "reservations",
        sa.Column("chunk_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("usd", USD, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("usd >= 0", name=op.f("ck_reservations_usd_not_negative")),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunks.id"], name=op.f("fk_reservations_chunk_id_chunks")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_reservations_run_id_runs")),
        sa.PrimaryKeyConstraint("chunk_id", "fence", name=op.f("pk_reservations")),
    )
    op.create_index("ix_reservations_run_id", "reservations", ["run_id"])
    op.drop_constraint(op.f("ck_verdicts_state"), "verdicts")
    op.create_check_constraint(
        op.f("ck_verdicts_state"), "verdicts", "state IN ('verdict', 'unresolved', 'uncertified')"
    )


def downgrade() -> None:
    op.execute("UPDATE verdicts SET state = 'verdict' WHERE state = 'uncertified'")
    op.drop_constraint(op.f("ck_verdicts_state"), "verdicts")
    op.create_check_constraint(op.f("ck_verdicts_state"), "verdicts", "state IN ('verdict', 'unresolved')")
    op.drop_table("reservations")
    op.drop_table("budgets")
