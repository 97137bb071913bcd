"""Retention: rows that were forgotten leave a place without content, and runs remember when their texts went.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_items_forgotten_is_empty"),
        "items",
        "forgotten_at IS NULL OR (key = '' AND source = '' AND line = 0 AND text = '' AND copy_of IS NULL)",
    )
    op.add_column("runs", sa.Column("forgotten", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("runs", sa.Column("texts_erased_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("ck_runs_every_row_counted"), "runs")
    op.create_check_constraint(op.f("ck_runs_every_row_counted"), "runs", "items + rejected + forgotten = rows_read")


def downgrade() -> None:
    """Go back; what was forgotten stays so, counted among the rejected, and costs by step lose its part."""
    op.execute(
        "DELETE FROM attempts a USING items i"
        " WHERE i.forgotten_at IS NOT NULL AND (a.run_id, a.item_no) = (i.run_id, i.item_no)"
    )
    op.execute("DELETE FROM items WHERE forgotten_at IS NOT NULL")
    op.drop_constraint(op.f("ck_runs_every_row_counted"), "runs")
    op.execute("UPDATE runs SET rejected = rejected + forgotten")
    op.create_check_constraint(op.f("ck_runs_every_row_counted"), "runs", "items + rejected = rows_read")
    op.drop_column("runs", "texts_erased_at")
    op.drop_column("runs", "forgotten")
    op.drop_constraint(op.f("ck_items_forgotten_is_empty"), "items")
    op.drop_column("items", "forgotten_at")
