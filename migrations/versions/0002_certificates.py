"""Answers that wait to be certified, and what is drawn to certify them.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CHECKS = {
    "outcome": (
        "outcome IN ('verdict', 'escalation', 'unresolved')",
        "outcome IN ('verdict', 'held', 'escalation', 'unresolved')",
    ),
    "no_escalation_without_reason": (
        "(outcome = 'verdict') = (reason IS NULL)",
        "(outcome IN ('verdict', 'held')) = (reason IS NULL)",
    ),
    "verdict_has_answer": (
        "outcome <> 'verdict' OR answer IS NOT NULL",
        "outcome NOT IN ('verdict', 'held') OR answer IS NOT NULL",
    ),
}


def upgrade() -> None:
    for name, (_, after) in _CHECKS.items():
        op.drop_constraint(op.f(f"ck_attempts_{name}"), "attempts")
        op.create_check_constraint(op.f(f"ck_attempts_{name}"), "attempts", after)
    op.create_check_constraint(
        op.f("ck_attempts_held_has_confidence"), "attempts", "outcome <> 'held' OR confidence IS NOT NULL"
    )
    op.create_index(
        "ix_attempts_held",
        "attempts",
        ["run_id", "step_no", "item_no"],
        postgresql_where=sa.text("outcome = 'held'"),
    )
    op.create_table(
        "drawings",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("step_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("first_item", sa.BigInteger(), nullable=False),
        sa.Column("until_item", sa.BigInteger(), nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("plan", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("item_nos", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("decision", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("version", sa.SmallInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("first_item <= until_item AND items >= 0", name=op.f("ck_drawings_window")),
        sa.CheckConstraint(
            "(decision IS NULL) = (version IS NULL) AND (decision IS NULL) = (decided_at IS NULL)",
            name=op.f("ck_drawings_decided_whole"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_drawings_run_id")),
        sa.ForeignKeyConstraint(
            ["run_id", "version"],
            ["policy_versions.run_id", "policy_versions.version"],
            name=op.f("fk_drawings_run_id_version"),
        ),
        sa.PrimaryKeyConstraint("run_id", "step_no", "number", name=op.f("pk_drawings")),
    )


def downgrade() -> None:
    op.drop_table("drawings")
    op.drop_index("ix_attempts_held", "attempts")
    op.drop_constraint(op.f("ck_attempts_held_has_confidence"), "attempts")
    for name, (before, _) in _CHECKS.items():
        op.drop_constraint(op.f(f"ck_attempts_{name}"), "attempts")
        op.create_check_constraint(op.f(f"ck_attempts_{name}"), "attempts", before)
