"""Turns at endpoints, by the clock of Postgres: see domain.pacing, whose rule this is in one statement."""

import sqlalchemy as sa

from pipeline.adapters.postgres.database import Database
from pipeline.domain.pacing import Limits

_TAKE = sa.text("""
INSERT INTO turns AS t (account, requests_at, tokens_at, turn_at)
VALUES (:account, clock_timestamp() + make_interval(secs => :request_s),
        clock_timestamp() + make_interval(secs => :tokens_s), clock_timestamp())
ON CONFLICT (account) DO UPDATE SET
    turn_at = greatest(clock_timestamp(), t.requests_at, t.tokens_at),
    requests_at = greatest(clock_timestamp(), t.requests_at) + make_interval(secs => :request_s),
    tokens_at = greatest(clock_timestamp(), t.tokens_at) + make_interval(secs => :tokens_s)
RETURNING greatest(0, extract(epoch FROM turn_at - clock_timestamp()))
""")


def take_turn(database: Database, account: str, limits: Limits, tokens: int) -> float:
    """Take the next turn at an account; returns the seconds to wait for it."""
    values = {"account": account, "request_s": limits.request_s, "tokens_s": limits.tokens_s(tokens)}
    with database.begin() as connection:
        return float(connection.execute(_TAKE, values).scalar_one())
