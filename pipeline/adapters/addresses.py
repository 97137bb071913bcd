"""Addresses of servers: Redis' as its clients take it, and what of an address a neighbour on the network could use.

No error and no complaint quotes an address: there may be a password in it, also where it is not well-formed.
"""

import ipaddress
import ssl
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from pipeline.domain.errors import ConfigError

_SCHEMES = {
    "redis": "redis",
    "valkey": "redis",
    "rediss": "rediss",
    "valkeys": "rediss",
    "redis+socket": "redis+socket",
}
"""Ours → as Celery knows it."""
_VERIFY = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
_REQUIRED = "required"
_PLAIN_MODES = frozenset({"disable", "allow", "prefer"})
_CHECKED_MODES = frozenset({"verify-ca", "verify-full"})
_VERIFIED = "sslmode=verify-full&sslrootcert=FILE"
_FORM = (
    "HEADRACE_REDIS_URL must be of the form redis://:password@host:6379/0, or rediss:// for TLS, with signs such as /, # "
    "and @ in a password written as %2F, %23 and %40"
)


class Exposure(NamedTuple):
    """What a neighbour on the network could use of an address."""

    seen: str
    mend: str


def broker_url(url: str) -> str:
    """Return the URL as Celery and Redis' client know it; raises ConfigError for any other broker.

    Of `rediss://` the certificate is verified unless the URL says otherwise: kombu by itself would take any.
    """
    parts = _redis_parts(url)
    scheme = _SCHEMES[parts.scheme]
    query = dict(urllib.parse.parse_qsl(parts.query))
    if scheme == "rediss":
        query["ssl_cert_reqs"] = query.get("ssl_cert_reqs", _REQUIRED).lower().removeprefix("cert_")
        if query["ssl_cert_reqs"] not in _VERIFY:
            raise ConfigError(f"HEADRACE_REDIS_URL: ssl_cert_reqs is one of {', '.join(_VERIFY)}")
    place = url.partition("://")[2].partition("?")[0]  # urllib would leave out the slashes before an empty host
    return f"{scheme}://{place}" + (f"?{urllib.parse.urlencode(query, safe='/')}" if query else "")


def client_url(url: str) -> str:
    """Return the URL as Redis' own client takes it, which calls a socket by another name."""
    url = broker_url(url)
    if not url.startswith("redis+socket://"):
        return url
    return url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")


def broker_ssl(url: str) -> dict[str, Any] | None:
    """Return what Celery and Flower are to be told about TLS; None without."""
    parts = urllib.parse.urlsplit(broker_url(url))
    if parts.scheme != "rediss":
        return None
    told: dict[str, Any] = {
        name: value for name, value in urllib.parse.parse_qsl(parts.query) if name.startswith("ssl_")
    }
    told["ssl_cert_reqs"] = _VERIFY[told["ssl_cert_reqs"]]
    if "ssl_check_hostname" in told:
        told["ssl_check_hostname"] = told["ssl_check_hostname"].lower() != "false"
    return told


def redis_exposures(url: str) -> tuple[Exposure, ...]:
    """Say what a neighbour on the network could use of Redis' address; nothing for a server on this machine."""
    parts = _redis_parts(broker_url(url))
    if parts.scheme == "redis+socket" or _is_here(parts.hostname or "localhost"):
        return ()
    query = dict(urllib.parse.parse_qsl(parts.query))
    found = []
    if parts.scheme != "rediss":
        found.append(
            Exposure("Redis is reached without TLS", "write rediss://, and ?ssl_ca_certs=FILE for a CA of your own")
        )
    elif query["ssl_cert_reqs"] != _REQUIRED or query.get("ssl_check_hostname", "").lower() == "false":
        found.append(
            Exposure("Redis' certificate is not verified", "take ssl_cert_reqs and ssl_check_hostname out of its URL")
        )
    if not parts.password:
        found.append(
            Exposure("Redis has no password in its URL", "set requirepass: whoever reaches Redis can stop the work")
        )
    return tuple(found)


def postgres_exposures(url: str) -> tuple[Exposure, ...]:
    """Say what a neighbour on the network could use of Postgres' address; nothing for a server on this machine.

    Raises ConfigError where it is no such address.
    """
    parsed = postgres_url(url)
    query: Mapping[str, str | tuple[str, ...]] = parsed.query
    hosts = [parsed.host or "", *",".join(_all(query.get("host"))).split(",")]
    if all(_is_here(host.partition(":")[0] if host.count(":") == 1 else host) for host in hosts if host):
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


def _redis_parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError:
        raise ConfigError(_FORM) from None
    if parts.scheme not in _SCHEMES or "://" not in url or "#" in url:  # of a password, the sign would end the address
        raise ConfigError(_FORM)
    return parts


def _all(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else value


def _is_here(host: str) -> bool:
    """Tell whether a host is this machine, by its name or number alone; a path is that of a socket."""
    try:
        return host == "localhost" or host.startswith(("/", "@")) or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
