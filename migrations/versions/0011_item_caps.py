"""What a single item may cost, and for which items a reservation is.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

USD = sa.Numeric(24, 12)


def upgrade() -> None:
    op.add_column("budgets", sa.Column("per_item_usd", USD, nullable=True))
    op.alter_column("budgets", "usd", nullable=True)
    op.create_check_constraint(op.f("ck_budgets_per_item"), "budgets", "per_item_usd > 0")
    op.create_check_constraint(
        op.f("ck_budgets_says_something"), "budgets", "usd IS NOT NULL OR per_item_usd IS NOT NULL"
    )
    for name, kind in (("item_nos", sa.BigInteger()), ("item_usd", USD)):
        op.add_column("reservations", sa.Column(name, postgresql.ARRAY(kind), server_default="{}", nullable=False))
    op.create_check_constraint(
        op.f("ck_reservations_one_amount_an_item"), "reservations", "cardinality(item_nos) = cardinality(item_usd)"
    )


def downgrade() -> None:
    """Go back; a run with a cap for its items only has no budget then."""
    op.drop_constraint(op.f("ck_reservations_one_amount_an_item"), "reservations")
    for name in ("item_usd", "item_nos"):
        op.drop_column("reservations", name)
    op.execute("DELETE FROM budgets WHERE usd IS NULL")
    op.drop_constraint(op.f("ck_budgets_says_something"), "budgets")
    op.drop_constraint(op.f("ck_budgets_per_item"), "budgets")
    op.alter_column("budgets", "usd", nullable=False)
    op.drop_column("budgets", "per_item_usd")
