"""Alembic migrations, named NNNN_what; additive first."""
