"""Labels: what people say is right, beside whatever a tier had answered.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("item_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("said", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "item_no"], ["items.run_id", "items.item_no"], name=op.f("fk_labels_run_id_item_no")
        ),
        sa.PrimaryKeyConstraint("run_id", "item_no", "step_no", name=op.f("pk_labels")),
    )


def downgrade() -> None:
    op.drop_table("labels")
