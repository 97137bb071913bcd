"""What a check-up asks of Redis."""

from dataclasses import dataclass

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipeline.domain.errors import QueueUnavailable

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """What the server says of itself."""

    version: str
    eviction: str | None
    """Its maxmemory-policy; None where it does not say."""


def redis_facts(url: str) -> RedisFacts:
    """Ask the server at a redis:// address; raises QueueUnavailable when it does not answer."""
    client = redis.Redis.from_url(
        url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )
    try:
        said = client.info()
    except redis.AuthenticationError:
        raise QueueUnavailable("Redis does not accept the password in the URL") from None
    except (redis.RedisError, OSError, ValueError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise QueueUnavailable(
                "Redis' certificate cannot be verified: add ?ssl_ca_certs=FILE to the URL, with the CA that signed it"
            ) from None
        raise QueueUnavailable(f"Redis does not answer ({type(error).__name__})") from None
    finally:
        client.close()
    version = str(said.get("valkey_version") or said.get("redis_version") or "of unknown version")
    policy = said.get("maxmemory_policy")
    return RedisFacts(version=version, eviction=None if policy is None else str(policy))
