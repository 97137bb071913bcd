"""Why a chunk was given up last.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chunks", sa.Column("failure", sa.Text()))


def downgrade() -> None:
    op.drop_column("chunks", "failure")
