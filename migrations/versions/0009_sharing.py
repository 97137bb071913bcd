"""Announcing chunks a few ahead, finding them fast, pauses that hold for all runs of a pool, and turns at endpoints.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chunks", sa.Column("not_before", sa.DateTime(timezone=True)))
    op.add_column("pauses", sa.Column("pool", sa.Text()))
    op.create_index("ix_pauses_pool", "pauses", ["pool"])
    op.create_table(
        "turns",
        sa.Column("account", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
            for name in ("requests_at", "tokens_at", "turn_at")
        ),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_turns")),
    )
    for name, columns, where in (
        ("ix_chunks_due", ["run_id", "tier_no", "id"], "state = 'pending' AND published_at IS NULL"),
        ("ix_chunks_announced", ["pool", "run_id", "tier_no"], "state = 'pending' AND published_at IS NOT NULL"),
        ("ix_chunks_claimed", ["pool"], "state = 'claimed'"),
    ):
        op.create_index(name, "chunks", columns, postgresql_where=sa.text(where))


def downgrade() -> None:
    for name in ("ix_chunks_claimed", "ix_chunks_announced", "ix_chunks_due"):
        op.drop_index(name, "chunks")
    op.drop_table("turns")
    op.drop_index("ix_pauses_pool", "pauses")
    op.drop_column("pauses", "pool")
    op.drop_column("chunks", "not_before")
