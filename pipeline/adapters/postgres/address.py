"""The address of Postgres, and what a neighbour on the network could use of it; none is ever quoted."""

from collections.abc import Mapping

import sqlalchemy as sa

from pipeline.domain.errors import ConfigError
from pipeline.domain.exposures import Exposure, is_here

_PLAIN_MODES = frozenset({"disable", "allow", "prefer"})
_CHECKED_MODES = frozenset({"verify-ca", "verify-full"})
_VERIFIED = "sslmode=verify-full&sslrootcert=FILE"


def postgres_exposures(url: str) -> tuple[Exposure, ...]:
    """Say what a neighbour on the network could use of Postgres' address; nothing for a server on this machine.

    Raises ConfigError where it is no such address.
    """
    parsed = postgres_url(url)
    query: Mapping[str, str | tuple[str, ...]] = parsed.query
    hosts = [parsed.host or "", *",".join(_all(query.get("host"))).split(",")]
    if all(is_here(host.partition(":")[0] if host.count(":") == 1 else host) for host in hosts if host):
        return ()
    mode = next(iter(_all(query.get("sslmode"))), "prefer")
    found = []
    if mode in _PLAIN_MODES:
        found.append(Exposure("Postgres may be reached without TLS", f"add ?{_VERIFIED} to its URL"))
    elif mode not in _CHECKED_MODES and "sslrootcert" not in query:
        found.append(Exposure("Postgres' certificate is not verified", f"write {_VERIFIED} in its URL"))
    if not (parsed.password or "password" in query or "passfile" in query or "sslcert" in query):
        found.append(
            Exposure("Postgres has no password in its URL", "set one: whoever reaches Postgres may read the texts")
        )
    return tuple(found)


def postgres_url(url: str) -> sa.URL:
    """Return the URL parsed; raises ConfigError for what is none of Postgres."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigError(
            "HEADRACE_DATABASE_URL is no database URL; write postgresql://user:password@host/name"
        ) from None
    if parsed.get_backend_name() != "postgresql":
        raise ConfigError(f"Headrace stores in Postgres; the URL names {parsed.get_backend_name()}")
    return parsed.set(drivername="postgresql+psycopg")


def _all(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else value
