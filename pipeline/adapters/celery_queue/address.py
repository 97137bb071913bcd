"""Redis' address as its clients take it, and what a neighbour on the network could use of it.

No error and no complaint quotes an address: there may be a password in it, also where it is not well-formed.
"""

import ssl
import urllib.parse
from typing import Any

from pipeline.domain.errors import ConfigError
from pipeline.domain.exposures import Exposure, is_here

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
_FORM = (
    "HEADRACE_REDIS_URL must be of the form redis://:password@host:6379/0, or rediss:// for TLS, with signs as /, # "
    "and @ in a password written as %2F, %23 and %40"
)


class MaskedAddress(str):
    """An address whose repr hides it: Celery's configuration shows all that it holds."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show how, and not where or with which password."""
        return repr(f"{self.partition('://')[0]}://***")


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
    if parts.scheme == "redis+socket" or is_here(parts.hostname or "localhost"):
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


def _redis_parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError:
        raise ConfigError(_FORM) from None
    if parts.scheme not in _SCHEMES or "://" not in url or "#" in url:  # of a password, the sign would end the address
        raise ConfigError(_FORM)
    return parts
