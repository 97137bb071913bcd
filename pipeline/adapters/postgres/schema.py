"""What all tables share: how constraints are named, money, moments."""

import sqlalchemy as sa

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = sa.MetaData(naming_convention=_NAMING)
USD = sa.Numeric(24, 12)


def moment(name: str, *, nullable: bool = True, now: bool = False) -> "sa.Column[object]":
    """Return a column with a point in time, and with `now` that of the writing unless told otherwise."""
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable and not now, server_default=default)
